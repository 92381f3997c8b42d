package io.sparrowkv.eval;

import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.capture.VectorSink;
import io.sparrowkv.capture.VectorSource;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.TransformFit.Sample;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;

/** The keys before RoPE and the values of a whole text, each KV head's consecutive tokens together, in whole blocks. */
public final class SiteSamples implements VectorSink, AutoCloseable {
    private static final class Rows {
        private final MemorySegment vectors;
        private int tokens;

        Rows(MemorySegment vectors) {
            this.vectors = vectors;
        }
    }

    private final Arena arena = Arena.ofShared();
    private final Map<Site, Rows> sites = new LinkedHashMap<>();
    private final int kvHeads;
    private final long vectorBytes;
    private final int mostTokens;

    private SiteSamples(VectorOrigin origin, long chunks) {
        kvHeads = origin.kvHeads();
        vectorBytes = (long) origin.dHead() * Float.BYTES;
        mostTokens = Math.toIntExact(chunks * origin.chunkTokens()) / CodeBlockLayout.TOKENS * CodeBlockLayout.TOKENS;
        for (int layer = 0; layer < origin.layers(); layer++) {
            for (VectorKind kind : VectorKind.values()) {
                MemorySegment vectors = arena.allocate(mostTokens * kvHeads * vectorBytes, 64);
                sites.put(Site.of(layer, kind), new Rows(vectors));
            }
        }
    }

    /** Reads a source to its end. */
    public static SiteSamples read(VectorSource source) {
        SiteSamples samples = new SiteSamples(source.origin(), source.chunks());
        for (long chunk = 0; chunk < source.chunks(); chunk++) {
            source.read(chunk, samples);
        }
        samples.sites.values().forEach(samples::closeRanks);
        return samples;
    }

    /** Brings the heads' rows together: whole blocks of each, and nothing between them. */
    private void closeRanks(Rows rows) {
        rows.tokens = rows.tokens / CodeBlockLayout.TOKENS * CodeBlockLayout.TOKENS;
        for (long head = 1; head < kvHeads; head++) {
            long bytes = rows.tokens * vectorBytes;
            MemorySegment.copy(rows.vectors, head * mostTokens * vectorBytes, rows.vectors, head * bytes, bytes);
        }
    }

    /** Valid until this is closed. */
    public Map<Site, Sample> bySite() {
        Map<Site, Sample> samples = new LinkedHashMap<>();
        sites.forEach((site, rows) -> samples.put(site, new Sample(rows.vectors, rows.tokens * kvHeads)));
        return samples;
    }

    @Override
    public boolean wants(int layer, Tap tap) {
        return tap != Tap.KEY_POST;
    }

    @Override
    public void accept(int layer, Tap tap, int firstPosition, int tokens, MemorySegment vectors) {
        VectorKind kind = tap == Tap.of(VectorKind.KEY, RopeStage.PRE) ? VectorKind.KEY : VectorKind.VALUE;
        Rows rows = sites.get(Site.of(layer, kind));
        int taken = Math.min(tokens, mostTokens - rows.tokens);
        for (int token = 0; token < taken; token++) {
            for (int head = 0; head < kvHeads; head++) {
                long to = ((long) head * mostTokens + rows.tokens + token) * vectorBytes;
                long from = ((long) token * kvHeads + head) * vectorBytes;
                MemorySegment.copy(vectors, from, rows.vectors, to, vectorBytes);
            }
        }
        rows.tokens += taken;
    }

    @Override
    public void close() {
        arena.close();
    }
}
