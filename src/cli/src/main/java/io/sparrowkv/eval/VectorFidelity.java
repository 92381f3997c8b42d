package io.sparrowkv.eval;

import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorSink;
import io.sparrowkv.capture.VectorSource;
import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.Site;
import io.sparrowkv.train.SiteEvaluation;
import io.sparrowkv.train.SiteReport;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** How well the dictionaries of a set code the keys and values of a text, site by site, whatever window and sinks would keep. */
public final class VectorFidelity {
    private VectorFidelity() {}

    /**
     * Reads the source once for each site, so that memory holds one site's vectors.
     *
     * @param firingBudget budget at which firing latents are counted
     * @param refinement of the codes
     * @return a report for each site, in the order of sites
     */
    public static List<SiteReport> measure(
            VectorSource source,
            DictionarySet dictionaries,
            int firingBudget,
            Refinement refinement,
            EncoderBackend encoders,
            int threads) {
        List<SiteReport> reports = new ArrayList<>();
        try (Workers workers = Workers.start("fidelity", threads)) {
            for (Dictionary dictionary : dictionaries.bySite().values()) {
                try (Vectors vectors = new Vectors(source, dictionary)) {
                    for (long chunk = 0; chunk < source.chunks(); chunk++) {
                        source.read(chunk, vectors);
                    }
                    reports.add(SiteEvaluation.evaluate(
                            dictionary, vectors.rows, vectors.count, firingBudget, refinement, encoders, workers));
                }
            }
        }
        return reports;
    }

    /** Gathers the vectors of one site. */
    private static final class Vectors implements VectorSink, AutoCloseable {
        private final Site site;
        private final Tap tap;
        private final int vectorsOfToken;
        private final long vectorBytes;
        private final long tokenBytes;
        private final Arena arena = Arena.ofShared();
        private final MemorySegment rows;
        private int count;

        Vectors(VectorSource source, Dictionary dictionary) {
            site = dictionary.site();
            tap = Tap.of(site.kind(), dictionary.rope());
            int kvHeads = source.origin().kvHeads();
            vectorsOfToken = site.heads().vectorsOfToken(kvHeads);
            tokenBytes = (long) kvHeads * source.origin().dHead() * Float.BYTES;
            vectorBytes = (long) dictionary.dHead() * Float.BYTES;
            long tokens = source.chunks() * source.origin().chunkTokens();
            rows = arena.allocate(tokens * vectorsOfToken * vectorBytes, 64);
        }

        @Override
        public boolean wants(int layer, Tap tap) {
            return layer == site.layer() && tap == this.tap;
        }

        @Override
        public void accept(int layer, Tap tap, int firstPosition, int tokens, MemorySegment vectors) {
            long first = site.heads() == Heads.EACH ? site.head() * vectorBytes : 0;
            long taken = vectorsOfToken * vectorBytes;
            for (int token = 0; token < tokens; token++) {
                MemorySegment.copy(vectors, token * tokenBytes + first, rows, count * vectorBytes, taken);
                count += vectorsOfToken;
            }
        }

        @Override
        public void close() {
            arena.close();
        }
    }
}
