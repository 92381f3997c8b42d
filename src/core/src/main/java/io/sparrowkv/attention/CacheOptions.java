package io.sparrowkv.attention;

import io.sparrowkv.codec.BlockCodec;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.PairFormat;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.chronicle.StoreProfile;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * How a sparse cache keeps and reads its tokens.
 *
 * @param window newest tokens that a query reads dense; 0 makes a query read even its own token as a code
 * @param sinks first tokens of the sequence that stay dense
 * @param read pairs of each code that attention reads
 * @param stored pairs of each code that are kept, at least those read
 * @param threads threads of attention, the caller included
 * @param queue batches that may wait for the encoder before {@link SparseCache#attend} waits
 * @param refinement what is done to the encoder's codes before they are kept
 * @param coefficients what their coefficients are kept as
 * @param residualBits bits of each number of what the pairs leave of a vector, by site as budgets are; 0 keeps nothing of it
 */
public record CacheOptions(
        int window,
        int sinks,
        Budgets read,
        Budgets stored,
        int threads,
        int queue,
        Refinement refinement,
        Coefficients coefficients,
        Budgets residualBits) {
    /** Newest tokens kept dense, unless said otherwise. */
    public static final int DEFAULT_WINDOW = 128;

    /** First tokens kept dense, unless said otherwise. */
    public static final int DEFAULT_SINKS = 4;

    /** Pairs kept of each vector unless said otherwise: 8 for keys, 16 for values (arXiv 2512.10547). */
    public static final Budgets DEFAULT_BUDGETS = Budgets.of(8, 16);

    private static final int DEFAULT_QUEUE = 4;

    /** The defaults, on all processors. */
    public static CacheOptions defaults() {
        return new CacheOptions(
                DEFAULT_WINDOW,
                DEFAULT_SINKS,
                DEFAULT_BUDGETS,
                DEFAULT_BUDGETS,
                Runtime.getRuntime().availableProcessors(),
                DEFAULT_QUEUE,
                Refinement.NONE,
                Coefficients.FP16,
                Budgets.of(0, 0));
    }

    /**
     * These options with codes of 68 bytes a token and KV head (d_head 128, 4,096 atoms) in all layers: 16 pairs of keys and values,
     * pursued among the encoder's 64 best atoms, coefficients of 4 bits. A {@link CodeProfile} that was calibrated on the model keeps
     * far more of it at the same bytes; {@code docs/fidelity.md} has the comparison.
     */
    public CacheOptions withRecommendedCodes() {
        return withBudgets(Budgets.of(16, 16))
                .withRefinement(Refinement.pursuit(64))
                .withCoefficients(Coefficients.BITS_4);
    }

    public CacheOptions withWindow(int window) {
        return new CacheOptions(window, sinks, read, stored, threads, queue, refinement, coefficients, residualBits);
    }

    public CacheOptions withSinks(int sinks) {
        return new CacheOptions(window, sinks, read, stored, threads, queue, refinement, coefficients, residualBits);
    }

    /** Reads and stores {@code budgets}. */
    public CacheOptions withBudgets(Budgets budgets) {
        return withBudgets(budgets, budgets);
    }

    /** Reads {@code read} of the {@code stored} pairs. */
    public CacheOptions withBudgets(Budgets read, Budgets stored) {
        return new CacheOptions(window, sinks, read, stored, threads, queue, refinement, coefficients, residualBits);
    }

    public CacheOptions withThreads(int threads) {
        return new CacheOptions(window, sinks, read, stored, threads, queue, refinement, coefficients, residualBits);
    }

    public CacheOptions withQueue(int queue) {
        return new CacheOptions(window, sinks, read, stored, threads, queue, refinement, coefficients, residualBits);
    }

    public CacheOptions withRefinement(Refinement refinement) {
        return new CacheOptions(window, sinks, read, stored, threads, queue, refinement, coefficients, residualBits);
    }

    public CacheOptions withCoefficients(Coefficients coefficients) {
        return new CacheOptions(window, sinks, read, stored, threads, queue, refinement, coefficients, residualBits);
    }

    /** Keeps as many bits of each number of the residuals at all sites. */
    public CacheOptions withResidualBits(int bits) {
        return withResidualBits(Budgets.of(bits, bits));
    }

    public CacheOptions withResidualBits(Budgets residualBits) {
        return new CacheOptions(window, sinks, read, stored, threads, queue, refinement, coefficients, residualBits);
    }

    /**
     * What the codes of a site take.
     *
     * @param mostLatents atoms of the largest dictionary, any of which an index names at all sites
     */
    public PairFormat pairs(int mostLatents, int layer, VectorKind kind) {
        return PairFormat.of(coefficients, residualBits.of(layer, kind), mostLatents)
                .withCounts(refinement.bounded());
    }

    /**
     * How a block of a site's codes is laid out.
     *
     * @param layer whose vectors of this kind are coded, not kept as fp16
     */
    public CodeBlockLayout layout(AttentionShape shape, DictionarySet dictionaries, int layer, VectorKind kind) {
        boolean joint = dictionaries.joint();
        return new CodeBlockLayout(
                joint ? Site.joint(layer, kind) : Site.of(layer, kind),
                joint ? 1 : shape.kvHeads(),
                width(shape, dictionaries),
                stored.of(layer, kind),
                pairs(mostLatents(dictionaries), layer, kind));
    }

    /** Width of the vectors that are coded. */
    private static int width(AttentionShape shape, DictionarySet dictionaries) {
        return (dictionaries.joint() ? Heads.JOINT : Heads.SHARED).width(shape.kvHeads(), shape.dHead());
    }

    /** Atoms of the largest dictionary. */
    public static int mostLatents(DictionarySet dictionaries) {
        return dictionaries.bySite().values().stream()
                .mapToInt(Dictionary::latents)
                .max()
                .orElseThrow();
    }

    /**
     * Refuses what does not fit the model or its dictionaries; nothing is clipped.
     *
     * @throws InvalidInputException that names the option, its value and its range
     */
    public void validate(AttentionShape shape, DictionarySet dictionaries) {
        validate();
        for (Budgets budgets : List.of(read, stored, residualBits)) {
            requireLayers(shape, budgets.keyByLayer());
            requireLayers(shape, budgets.valueByLayer());
        }
        int mostLatents = mostLatents(dictionaries);
        int width = width(shape, dictionaries);
        for (int layer = 0; layer < shape.layers(); layer++) {
            for (VectorKind kind : VectorKind.values()) {
                PairFormat format = pairs(mostLatents, layer, kind);
                if (format.residualBits() > 0 && width % Byte.SIZE != 0) {
                    throw new InvalidInputException(
                            "--residual %d: residuals pack eight numbers at a time; vectors have %d"
                                    .formatted(format.residualBits(), width));
                }
                int latents = smallestDictionary(shape, dictionaries, layer, kind);
                String place = " of layer " + layer;
                int least = read.of(layer, kind);
                int kept = stored.of(layer, kind);
                if (least == Budgets.DENSE && kept != Budgets.DENSE) {
                    throw new InvalidInputException(
                            "--stored-%s%s is %d of which 0 would be read; 0 pairs are for sites that are kept as fp16, stored and read"
                                    .formatted(kind.label(), place, kept));
                }
                require("--budget-" + kind.label() + place, least, 0, latents);
                require("--stored-" + kind.label() + place, kept, least, latents);
            }
        }
    }

    /**
     * What codes made and read in this way depend on, for a store that keeps them.
     *
     * @param model fingerprint of the model
     * @param dictionaries of all the model's sites
     * @throws InvalidInputException when there are more sinks than a store keeps, a site that is not coded, or one code for a layer's KV
     *     heads together
     */
    public StoreProfile storeProfile(AttentionShape shape, String model, DictionarySet dictionaries) {
        if (dictionaries.joint()) {
            throw new InvalidInputException(
                    "a store keeps a code for each KV head, and the dictionaries code a layer's together; leave the store out, or use dictionaries that were trained with --heads shared or each");
        }
        int latents = dictionaries.bySite().values().stream()
                .mapToInt(Dictionary::latents)
                .min()
                .orElseThrow();
        return storeProfile(shape, model, dictionaries.fingerprint(), latents, mostLatents(dictionaries));
    }

    /** The profile with dictionaries that are known by their fingerprint and the atoms of the smallest and the largest. */
    StoreProfile storeProfile(AttentionShape shape, String model, String dictionaries, int latents, int mostLatents) {
        for (VectorKind kind : VectorKind.values()) {
            int dense = byLayer(shape, stored, kind).indexOf(Budgets.DENSE);
            if (dense >= 0) {
                throw new InvalidInputException(
                        "--budget-%s of layer %d is 0: a store keeps codes, not fp16 vectors; choose 1 or more, or leave the store out"
                                .formatted(kind.label(), dense));
            }
        }
        List<Integer> keyBits = byLayer(shape, residualBits, VectorKind.KEY);
        List<Integer> valueBits = byLayer(shape, residualBits, VectorKind.VALUE);
        Set<Integer> bits = new HashSet<>(keyBits);
        bits.addAll(valueBits);
        PairFormat pairs = PairFormat.of(coefficients, bits.size() == 1 ? keyBits.getFirst() : 0, mostLatents)
                .withCounts(refinement.bounded());
        return new StoreProfile(
                new BlockCodec(pairs, refinement).label(),
                model,
                dictionaries,
                latents,
                shape.layers(),
                shape.kvHeads(),
                shape.dHead(),
                window,
                sinks,
                byLayer(shape, stored, VectorKind.KEY),
                byLayer(shape, stored, VectorKind.VALUE),
                byLayer(shape, read, VectorKind.KEY),
                byLayer(shape, read, VectorKind.VALUE),
                keyBits,
                valueBits);
    }

    private static List<Integer> byLayer(AttentionShape shape, Budgets budgets, VectorKind kind) {
        return IntStream.range(0, shape.layers())
                .mapToObj(layer -> budgets.of(layer, kind))
                .toList();
    }

    /** Refuses what no cache can do. @throws InvalidInputException as {@link #validate(AttentionShape, DictionarySet)} */
    void validate() {
        require("--window", window, 0, Integer.MAX_VALUE / 2);
        require("--sinks", sinks, 0, Integer.MAX_VALUE / 2);
        require("--threads", threads, 1, 1024);
        require("--queue", queue, 1, 1024);
        if (refinement.bounded() && !coefficients.scaled()) {
            throw new InvalidInputException(
                    "--refine %s ends codes early, but beside fp16 coefficients missing pairs take as much room as others; keep coefficients of 8, 6 or 4 bits (--coefficients 4, or +4bit in a codec's name), or leave the bound out"
                            .formatted(refinement.label()));
        }
    }

    private static int smallestDictionary(
            AttentionShape shape, DictionarySet dictionaries, int layer, VectorKind kind) {
        int latents = CodeBlockLayout.MAX_LATENTS;
        for (int head = 0; head < shape.kvHeads(); head++) {
            Dictionary dictionary = dictionaries.of(layer, kind, head);
            if (dictionary.dHead() != width(shape, dictionaries)) {
                throw new InvalidInputException(
                        "%s: the dictionary's vectors have %d numbers, the model's %d; use this model's dictionaries"
                                .formatted(dictionary.site(), dictionary.dHead(), width(shape, dictionaries)));
            }
            if (dictionary.latents() > CodeBlockLayout.MAX_LATENTS) {
                throw new InvalidInputException("%s: %d latents; a code's 16-bit index reaches %d"
                        .formatted(dictionary.site(), dictionary.latents(), CodeBlockLayout.MAX_LATENTS));
            }
            latents = Math.min(latents, dictionary.latents());
        }
        return latents;
    }

    private static void requireLayers(AttentionShape shape, Map<Integer, Integer> byLayer) {
        byLayer.keySet().forEach(layer -> require("--layer-budget: the layer", layer, 0, shape.layers() - 1));
    }

    private static void require(String what, int value, int least, int most) {
        if (value < least || value > most) {
            throw new InvalidInputException("%s is %d; choose from %d to %d".formatted(what, value, least, most));
        }
    }
}
