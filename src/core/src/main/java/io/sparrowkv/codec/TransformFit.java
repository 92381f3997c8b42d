package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Learns the transform codecs of a model's sites from sample vectors: the axes of each, and steps under a budget of bytes. All steps are
 * the same part of their site's root mean square, so that every site loses the same part of its variance; that part is what is sought.
 */
public final class TransformFit {
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    /** Blocks of a site that a step is tried on. */
    private static final int TRIED_BLOCKS = 16;

    /** Halvings of the range of steps, ample for a hundredth of a byte. */
    private static final int HALVINGS = 18;

    private static final double FINEST = 1e-3;
    private static final double COARSEST = 8;

    private final Map<Site, Sample> samples;
    private final Map<Site, PrincipalAxes> axes;

    private TransformFit(Map<Site, Sample> samples, Map<Site, PrincipalAxes> axes) {
        this.samples = samples;
        this.axes = axes;
    }

    /**
     * Sample vectors of one site, block after block.
     *
     * @param vectors fp32 {@code [rows, dHead]}, of one KV head after the other: blocks of one head's consecutive tokens
     * @param rows a multiple of {@link CodeBlockLayout#TOKENS}
     */
    public record Sample(MemorySegment vectors, int rows) {
        public Sample {
            if (rows < TOKENS || rows % TOKENS != 0) {
                throw new IllegalArgumentException(rows + " rows are no whole blocks");
            }
        }

        private float[] block(int index, int dHead) {
            float[] block = new float[TOKENS * dHead];
            MemorySegment.copy(vectors, JAVA_FLOAT, (long) index * block.length * Float.BYTES, block, 0, block.length);
            return block;
        }
    }

    /**
     * Finds the axes of each site.
     *
     * @param samples of every site; {@link #codecs} reads them
     */
    public static TransformFit of(Map<Site, Sample> samples, int dHead) {
        Map<Site, PrincipalAxes> axes = new LinkedHashMap<>();
        samples.forEach((site, sample) -> {
            PrincipalAxes.Fit fit = new PrincipalAxes.Fit(dHead);
            fit.add(sample.vectors(), sample.rows());
            axes.put(site, fit.axes());
        });
        return new TransformFit(samples, axes);
    }

    /**
     * Finds the steps.
     *
     * @param bytes of a token and KV head, keys and values together, mean of the layers
     * @throws InvalidInputException when the bytes are too few for any step, or more than any needs
     */
    public Map<Site, TransformCodec> codecs(double bytes) {
        double fine = FINEST;
        double coarse = COARSEST;
        if (bytes(codecsOfShare(fine)) < bytes || bytes(codecsOfShare(coarse)) > bytes) {
            throw new InvalidInputException("kvtc: no step gives %s bytes a token and KV head; it can give %.1f to %.1f"
                    .formatted(bytes, bytes(codecsOfShare(coarse)), bytes(codecsOfShare(fine))));
        }
        for (int i = 0; i < HALVINGS; i++) {
            double middle = Math.sqrt(fine * coarse);
            if (bytes(codecsOfShare(middle)) > bytes) {
                fine = middle;
            } else {
                coarse = middle;
            }
        }
        return codecsOfShare(coarse);
    }

    /** Codecs whose step is this share of their site's root mean square. */
    private Map<Site, TransformCodec> codecsOfShare(double share) {
        Map<Site, TransformCodec> codecs = new LinkedHashMap<>();
        axes.forEach((site, own) -> {
            double variance = 0;
            for (float v : own.variances()) {
                variance += v;
            }
            double step = Math.max(share * Math.sqrt(variance / own.dHead()), Float.MIN_NORMAL);
            codecs.put(site, new TransformCodec(own, (float) step));
        });
        return codecs;
    }

    /** Bytes of a key and a value on average: twice those of a vector. */
    private double bytes(Map<Site, TransformCodec> codecs) {
        double sum = 0;
        for (Map.Entry<Site, Sample> entry : samples.entrySet()) {
            TransformCodec codec = codecs.get(entry.getKey());
            int blocks = entry.getValue().rows() / TOKENS;
            int tried = Math.min(blocks, TRIED_BLOCKS);
            long site = 0;
            for (int i = 0; i < tried; i++) {
                int block = (int) ((long) blocks * i / tried);
                site += codec.encode(entry.getValue().block(block, codec.axes().dHead()), TOKENS).length;
            }
            sum += (double) site / (tried * TOKENS);
        }
        return 2 * sum / samples.size();
    }
}
