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
     * @throws InvalidInputException when two dictionaries claim one site, differ in width or in the rope stage of their keys, or only
     *     some code a layer's KV heads together
     */
    public DictionarySet(Collection<Dictionary> dictionaries) {
        if (dictionaries.isEmpty()) {
            throw new InvalidInputException("a dictionary set needs at least one dictionary");
        }
        Site first = dictionaries.iterator().next().site();
        RopeStage keyStage = null;
        for (Dictionary dictionary : dictionaries) {
            if (bySite.put(dictionary.site(), dictionary) != null) {
                throw new InvalidInputException(dictionary.site() + ": two dictionaries for one site; keep one");
            }
            if ((dictionary.site().heads() == Heads.JOINT) != (first.heads() == Heads.JOINT)) {
                throw new InvalidInputException(
                        "%s: beside %s; either all dictionaries of a set code a layer's KV heads together, or none"
                                .formatted(dictionary.site(), first));
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

    /** Width of a vector: of a head's, or in a {@link #joint} set of all of a layer's KV heads together. */
    public int dHead() {
        return bySite.firstEntry().getValue().dHead();
    }

    /** Whether a token's vectors of a layer's KV heads are one vector here. */
    public boolean joint() {
        return bySite.firstKey().heads() == Heads.JOINT;
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
     * The dictionary that codes one KV head's vectors: its own, or else its layer's, be it shared or joint.
     *
     * @throws InvalidInputException when the set has neither
     */
    public Dictionary of(int layer, VectorKind kind, int head) {
        Dictionary own = bySite.get(new Site(layer, kind, head));
        Site whole = joint() ? Site.joint(layer, kind) : Site.of(layer, kind);
        Dictionary found = own != null ? own : bySite.get(whole);
        if (found == null) {
            throw new InvalidInputException(whole + ": no dictionary in the set; train it with 'sparrow train'");
        }
        return found;
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
