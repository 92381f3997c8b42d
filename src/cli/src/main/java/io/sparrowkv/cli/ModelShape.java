package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** What one site of a model gives an encoder: vectors of 128 for each of its KV heads, coded with 8 of 4,096 atoms, or 16. */
enum ModelShape {
    YI_6B("yi-6b", 4),
    MISTRAL_7B("mistral-7b", 8),
    QWEN2_5_32B("qwen2.5-32b", 8);

    static final int D_HEAD = 128;
    static final int LATENTS = 4096;
    static final List<Integer> BUDGETS = List.of(8, 16);

    /** Tokens of a batch: a block of 64, less than one, and several, as a prompt gives them. */
    private static final int[] TOKENS = {16, 64, 256, 1024};

    private final String label;
    private final int kvHeads;

    ModelShape(String label, int kvHeads) {
        this.label = label;
        this.kvHeads = kvHeads;
    }

    /**
     * The shape of that name.
     *
     * @throws InvalidInputException when there is none
     */
    static ModelShape of(String label) {
        return Arrays.stream(values())
                .filter(shape -> shape.label.equals(label.toLowerCase(Locale.ROOT)))
                .findFirst()
                .orElseThrow(() -> new InvalidInputException("--shape %s: no such shape; choose %s"
                        .formatted(
                                label,
                                Arrays.stream(values()).map(ModelShape::label).collect(Collectors.joining(", ")))));
    }

    String label() {
        return label;
    }

    /** Vectors of a batch. */
    List<Integer> batches() {
        return IntStream.of(TOKENS).mapToObj(tokens -> tokens * kvHeads).toList();
    }
}
