package io.sparrowkv.tornado;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;

/** Encodes with one dictionary on the backend's device. */
final class TornadoTopKEncoder implements TopKEncoder {
    private final TornadoBackend backend;
    private final Dictionary dictionary;
    private final DictionaryGroup group;
    private final int slot;
    private TopKEncoder substitute;
    private boolean closed;

    TornadoTopKEncoder(TornadoBackend backend, Dictionary dictionary, DictionaryGroup group, int slot) {
        this.backend = backend;
        this.dictionary = dictionary;
        this.group = group;
        this.slot = slot;
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
        if (substitute == null && !backend.encode(group, slot, vectors, codes)) {
            substitute = backend.substitute().open(dictionary);
        }
        if (substitute != null) {
            substitute.encode(vectors, rows, budget, codes);
        }
    }

    @Override
    public void reload() {
        backend.reload(group);
        if (substitute != null) {
            substitute.reload();
        }
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            backend.remove(group, slot);
            if (substitute != null) {
                substitute.close();
            }
        }
    }
}
