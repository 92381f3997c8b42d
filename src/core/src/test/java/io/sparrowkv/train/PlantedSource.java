package io.sparrowkv.train;

import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.capture.VectorSink;
import io.sparrowkv.capture.VectorSource;
import java.lang.foreign.Arena;
import java.util.EnumSet;
import java.util.Set;

/** A source of planted vectors, other ones at each layer and tap. */
final class PlantedSource implements VectorSource {
    private final VectorOrigin origin;
    private final int plantedWidth;
    private final long chunks;

    PlantedSource(int layers, int kvHeads, int dHead, int chunkTokens, long chunks) {
        this(new VectorOrigin("planted", "model-1", "text-1", layers, kvHeads, dHead, chunkTokens), dHead, chunks);
    }

    private PlantedSource(VectorOrigin origin, int plantedWidth, long chunks) {
        this.origin = origin;
        this.plantedWidth = plantedWidth;
        this.chunks = chunks;
    }

    /** The same numbers as a model of one KV head has them, as wide as all of this one's. */
    PlantedSource asOneHead() {
        VectorOrigin single = new VectorOrigin(
                origin.modelName(),
                origin.modelFingerprint(),
                origin.dataFingerprint(),
                origin.layers(),
                1,
                origin.kvHeads() * origin.dHead(),
                origin.chunkTokens());
        return new PlantedSource(single, plantedWidth, chunks);
    }

    @Override
    public VectorOrigin origin() {
        return origin;
    }

    @Override
    public Set<Tap> taps() {
        return EnumSet.of(Tap.KEY_POST, Tap.VALUE);
    }

    @Override
    public long chunks() {
        return chunks;
    }

    @Override
    public void read(long chunk, VectorSink sink) {
        // The last chunk is shorter, as a text's end is.
        int tokens = chunk == chunks - 1 ? 1 + origin.chunkTokens() / 2 : origin.chunkTokens();
        for (int layer = 0; layer < origin.layers(); layer++) {
            for (Tap tap : taps()) {
                if (sink.wants(layer, tap)) {
                    long place = layer * 10L + tap.ordinal();
                    PlantedVectors planted = new PlantedVectors(plantedWidth, 32, 3, 0.05, place);
                    try (Arena arena = Arena.ofConfined()) {
                        sink.accept(
                                layer,
                                tap,
                                0,
                                tokens,
                                planted.draw(
                                        arena,
                                        tokens * origin.kvHeads() * origin.dHead() / plantedWidth,
                                        place * 100_000 + chunk));
                    }
                }
            }
        }
    }

    @Override
    public void close() {
        // Holds nothing.
    }
}
