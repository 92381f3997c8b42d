package io.sparrowkv.sae;

import io.sparrowkv.io.InvalidInputException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Collection;
import java.util.Collections;
import java.util.HexFormat;
import java.util.SortedMap;
import java.util.TreeMap;

/** The dictionaries of all of a model's sites; it owns them. */
public final class DictionarySet implements AutoCloseable {
    private final SortedMap<Site, Dictionary> bySite = new TreeMap<>();
    private final RopeStage rope;
    private String fingerprint = "";

    /**
     * @throws InvalidInputException when two dictionaries claim one site, or differ in width or in the rope stage of their keys
     */
    public DictionarySet(Collection<Dictionary> dictionaries) {
        if (dictionaries.isEmpty()) {
            throw new InvalidInputException("a dictionary set needs at least one dictionary");
        }
        RopeStage keyStage = null;
        for (Dictionary dictionary : dictionaries) {
            if (bySite.put(dictionary.site(), dictionary) != null) {
                throw new InvalidInputException(dictionary.site() + ": two dictionaries for one site; keep one");
            }
            if (dictionary.dHead() != bySite.firstEntry().getValue().dHead()) {
                throw new InvalidInputException("%s: d_head is %d where %s has %d; dictionaries of one model share it"
                        .formatted(
                                dictionary.site(),
                                dictionary.dHead(),
                                bySite.firstKey(),
                                bySite.firstEntry().getValue().dHead()));
            }
            if (dictionary.site().kind() == VectorKind.KEY) {
                if (keyStage != null && keyStage != dictionary.rope()) {
                    throw new InvalidInputException(
                            "%s: rope is '%s' where other key dictionaries have '%s'; train all alike"
                                    .formatted(
                                            dictionary.site(), dictionary.rope().label(), keyStage.label()));
                }
                keyStage = dictionary.rope();
            }
        }
        rope = keyStage == null ? RopeStage.PRE : keyStage;
    }

    /** Width of a vector. */
    public int dHead() {
        return bySite.firstEntry().getValue().dHead();
    }

    /** Where keys were taken; {@link RopeStage#PRE} in a set without key dictionaries. */
    public RopeStage rope() {
        return rope;
    }

    /** Identity of the set: SHA-256 over sites, shapes and fp32 weights, the first 16 bytes in hexadecimal. Computed once. */
    public synchronized String fingerprint() {
        if (fingerprint.isEmpty()) {
            fingerprint = computeFingerprint();
        }
        return fingerprint;
    }

    private String computeFingerprint() {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (Dictionary dictionary : bySite.values()) {
                String shape = "%s %s %d %d\n"
                        .formatted(
                                dictionary.site().label(),
                                dictionary.site().kind() == VectorKind.KEY
                                        ? dictionary.rope().label()
                                        : "",
                                dictionary.dHead(),
                                dictionary.latents());
                digest.update(shape.getBytes(StandardCharsets.UTF_8));
                digest.update(dictionary.encoderWeights().asByteBuffer());
                digest.update(dictionary.decoderWeights().asByteBuffer());
                digest.update(dictionary.encoderBias().asByteBuffer());
                digest.update(dictionary.decoderBias().asByteBuffer());
                dictionary.metric().ifPresent(metric -> digest.update(bytes(metric.root())));
            }
            return HexFormat.of().formatHex(digest.digest(), 0, 16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    private static byte[] bytes(float[] floats) {
        ByteBuffer bytes = ByteBuffer.allocate(floats.length * Float.BYTES).order(ByteOrder.nativeOrder());
        bytes.asFloatBuffer().put(floats);
        return bytes.array();
    }

    /** All dictionaries by site, in the order of sites. */
    public SortedMap<Site, Dictionary> bySite() {
        return Collections.unmodifiableSortedMap(bySite);
    }

    /**
     * The dictionary of one KV head's vectors: its own, or else its layer's.
     *
     * @throws InvalidInputException when the set has neither
     */
    public Dictionary of(int layer, VectorKind kind, int head) {
        Dictionary own = bySite.get(new Site(layer, kind, head));
        Dictionary found = own != null ? own : bySite.get(Site.of(layer, kind));
        if (found == null) {
            throw new InvalidInputException(
                    Site.of(layer, kind) + ": no dictionary in the set; train it with 'sparrow train'");
        }
        return found;
    }

    /** Whether the layer's KV heads share one dictionary for this kind. */
    public boolean shared(int layer, VectorKind kind) {
        return bySite.containsKey(Site.of(layer, kind));
    }

    /** Bytes of all weights in memory. */
    public long byteSize() {
        return bySite.values().stream().mapToLong(Dictionary::byteSize).sum();
    }

    @Override
    public void close() {
        bySite.values().forEach(Dictionary::close);
    }
}
