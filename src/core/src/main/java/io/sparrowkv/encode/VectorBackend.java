package io.sparrowkv.encode;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.sae.Dictionary;
import java.util.Arrays;
import java.util.OptionalDouble;
import jdk.incubator.vector.FloatVector;

/** The threads of the vector encoders and their scratch memory, shared by the encoders of all sites. */
final class VectorBackend implements EncoderBackend {
    private final Workers workers;
    private final EncodeScratch[] scratch;
    private final ProductTile tile;

    VectorBackend(int threads, ProductTile tile) {
        this.workers = Workers.start("encode", threads);
        this.scratch = new EncodeScratch[threads];
        Arrays.setAll(scratch, i -> new EncodeScratch());
        this.tile = tile;
    }

    @Override
    public String name() {
        return VectorEncoderProvider.NAME;
    }

    @Override
    public String description() {
        int threads = workers.threads();
        return "Vector API, %d bits, tile of %d rows x %d vectors, %d thread%s"
                .formatted(
                        FloatVector.SPECIES_PREFERRED.vectorBitSize(),
                        tile.rows(),
                        tile.vectors(),
                        threads,
                        threads == 1 ? "" : "s");
    }

    @Override
    public TopKEncoder open(Dictionary dictionary) {
        return new VectorTopKEncoder(dictionary, workers, scratch, tile);
    }

    @Override
    public OptionalDouble peakGigaflops() {
        return OptionalDouble.of(FmaPeak.gigaflops(workers));
    }

    @Override
    public void close() {
        workers.close();
    }
}
