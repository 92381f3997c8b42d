package io.sparrowkv.tornado;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;

/** Encodes with one dictionary on the backend's device. */
final class TornadoTopKEncoder implements TopKEncoder {
    private final TornadoBackend backend;
    private final Dictionary dictionary;
    private TornadoBackend.Place place;
    private TopKEncoder substitute;
    private boolean closed;

    TornadoTopKEncoder(TornadoBackend backend, Dictionary dictionary, TornadoBackend.Place place) {
        this.backend = backend;
        this.dictionary = dictionary;
        this.place = place;
    }

    @Override
    public Dictionary dictionary() {
        return dictionary;
    }

    @Override
    public void encode(MemorySegment vectors, int rows, int budget, CodeBatch codes) {
        TopKEncoder.requireFit(dictionary, vectors, rows, budget);
        codes.shape(rows, budget);
        if (rows == 0) {
            return;
        }
        if (substitute == null && !backend.encode(place, vectors, codes)) {
            substitute = backend.substitute().open(dictionary);
        }
        if (substitute != null) {
            substitute.encode(vectors, rows, budget, codes);
        }
    }

    @Override
    public void reload() {
        place = backend.reload(place, dictionary);
        if (substitute != null) {
            substitute.reload();
        }
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            backend.remove(place);
            if (substitute != null) {
                substitute.close();
            }
        }
    }
}
