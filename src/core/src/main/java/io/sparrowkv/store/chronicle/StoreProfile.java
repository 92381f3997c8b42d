package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.BlockCodec;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.PairFormat;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * All that the codes of a token depend on, beside the tokens before it: two runs may share codes only where all of this is equal.
 * Windows and read budgets belong to it, since the vectors of a layer are computed from what the layers below it read.
 *
 * @param codec how vectors become the bytes of a block, as {@link BlockCodec} writes it, without residuals where they differ by site
 * @param model fingerprint of the model
 * @param dictionaries fingerprint of the dictionaries
 * @param latents atoms of the smallest dictionary, which every index is below
 * @param layers decoder layers
 * @param kvHeads KV heads of a layer
 * @param dHead width of a head's vectors
 * @param window newest tokens that are read dense
 * @param sinks first tokens that stay dense, at most {@link CodeBlockLayout#TOKENS}
 * @param storedKey pairs kept of a key, by layer
 * @param storedValue pairs kept of a value, by layer
 * @param readKey pairs read of a key, by layer
 * @param readValue pairs read of a value, by layer
 * @param keyResidualBits bits of each number of a key's residual, by layer
 * @param valueResidualBits bits of each number of a value's residual, by layer
 */
public record StoreProfile(
        String codec,
        String model,
        String dictionaries,
        int latents,
        int layers,
        int kvHeads,
        int dHead,
        int window,
        int sinks,
        List<Integer> storedKey,
        List<Integer> storedValue,
        List<Integer> readKey,
        List<Integer> readValue,
        List<Integer> keyResidualBits,
        List<Integer> valueResidualBits) {

    /** @throws InvalidInputException when a number or the codec cannot be, or there are more sinks than a store keeps */
    public StoreProfile {
        storedKey = List.copyOf(storedKey);
        storedValue = List.copyOf(storedValue);
        readKey = List.copyOf(readKey);
        readValue = List.copyOf(readValue);
        keyResidualBits = List.copyOf(keyResidualBits);
        valueResidualBits = List.copyOf(valueResidualBits);
        if (sinks > CodeBlockLayout.TOKENS) {
            throw new InvalidInputException(
                    "--sinks is %d; a store keeps at most %d".formatted(sinks, CodeBlockLayout.TOKENS));
        }
        for (Object named : new Object[] {codec, model, dictionaries}) {
            if (named == null) {
                throw new InvalidInputException("a store's codec, model or dictionaries are not named");
            }
        }
        PairFormat pairs = BlockCodec.parse(codec).pairs();
        boolean sized = latents > 0 && layers > 0 && kvHeads > 0 && dHead > 0 && window >= 0 && sinks >= 0;
        for (List<Integer> budgets : List.of(storedKey, storedValue, readKey, readValue)) {
            sized &= budgets.size() == layers && budgets.stream().allMatch(budget -> budget > 0);
        }
        for (List<Integer> bits : List.of(keyResidualBits, valueResidualBits)) {
            sized &= bits.size() == layers;
            bits.forEach(pairs::withResidualBits); // refuses what they cannot have
        }
        if (!sized) {
            throw new InvalidInputException(
                    "a store of %d latents, %d layers, %d KV heads, d_head %d, window %d, sinks %d, budgets %s %s"
                            .formatted(latents, layers, kvHeads, dHead, window, sinks, storedKey, storedValue));
        }
    }

    /** A profile of sites that all keep what the codec says of residuals. */
    public StoreProfile(
            String codec,
            String model,
            String dictionaries,
            int latents,
            int layers,
            int kvHeads,
            int dHead,
            int window,
            int sinks,
            List<Integer> storedKey,
            List<Integer> storedValue,
            List<Integer> readKey,
            List<Integer> readValue) {
        this(
                codec,
                model,
                dictionaries,
                latents,
                layers,
                kvHeads,
                dHead,
                window,
                sinks,
                storedKey,
                storedValue,
                readKey,
                readValue,
                alike(codec, layers),
                alike(codec, layers));
    }

    private static List<Integer> alike(String codec, int layers) {
        return Collections.nCopies(
                Math.max(0, layers), BlockCodec.parse(codec).pairs().residualBits());
    }

    /** Whether any site keeps residuals. */
    boolean keepsResiduals() {
        return Stream.concat(keyResidualBits.stream(), valueResidualBits.stream())
                .anyMatch(bits -> bits > 0);
    }

    /** The layout of the blocks of a layer's keys or values. */
    public CodeBlockLayout layout(int layer, VectorKind kind) {
        int budget = (kind == VectorKind.KEY ? storedKey : storedValue).get(layer);
        int bits = (kind == VectorKind.KEY ? keyResidualBits : valueResidualBits).get(layer);
        return new CodeBlockLayout(
                Site.of(layer, kind),
                kvHeads,
                dHead,
                budget,
                BlockCodec.parse(codec).pairs().withResidualBits(bits));
    }

    /** Blocks before a boundary between blocks whose dense vectors a query right after it reads: those of the window. */
    public int denseBlocks() {
        return window == 0 ? 0 : (window - 1 + CodeBlockLayout.TOKENS - 1) / CodeBlockLayout.TOKENS;
    }

    /** Bytes that slots have for the codes of a token, all layers; codes whose pairs are counted may leave some of them unused. */
    public double codeBytesPerToken() {
        long bytes = 0;
        for (int layer = 0; layer < layers; layer++) {
            bytes += layout(layer, VectorKind.KEY).byteSize()
                    + layout(layer, VectorKind.VALUE).byteSize();
        }
        return (double) bytes / CodeBlockLayout.TOKENS;
    }

    /** The beginning of all prefixes: equal only for equal profiles. */
    long salt() {
        try {
            byte[] digest =
                    MessageDigest.getInstance("SHA-256").digest(toString().getBytes(StandardCharsets.UTF_8));
            long salt = 0;
            for (int i = 0; i < Long.BYTES; i++) {
                salt = salt << Byte.SIZE | Byte.toUnsignedLong(digest[i]);
            }
            return salt;
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    /** What differs in another profile, with both values; {@code whose} is the other's owner, such as "this run's". */
    List<String> differences(StoreProfile other, String whose) {
        List<String> differences = new ArrayList<>();
        Map<String, Object> theirs = other.fields();
        fields().forEach((name, value) -> {
            if (!value.equals(theirs.get(name))) {
                differences.add("the store's %s is %s, %s %s".formatted(name, value, whose, theirs.get(name)));
            }
        });
        return differences;
    }

    private Map<String, Object> fields() {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("codec", codec);
        fields.put("model", model);
        fields.put("dictionaries", dictionaries);
        fields.put("number of latents", latents);
        fields.put("number of layers", layers);
        fields.put("number of KV heads", kvHeads);
        fields.put("d_head", dHead);
        fields.put("window", window);
        fields.put("sinks", sinks);
        fields.put("stored key budgets", storedKey);
        fields.put("stored value budgets", storedValue);
        fields.put("read key budgets", readKey);
        fields.put("read value budgets", readValue);
        fields.put("residual bits of keys", keyResidualBits);
        fields.put("residual bits of values", valueResidualBits);
        return fields;
    }
}
