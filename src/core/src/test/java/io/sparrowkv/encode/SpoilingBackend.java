package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;

/** Encodes right, and then spoils the codes: for tests of what is to notice it. */
final class SpoilingBackend implements EncoderBackend {
    private final EncoderBackend healthy = new VectorEncoderProvider().start(1);
    private final Consumer<CodeBatch> spoil;

    SpoilingBackend(Consumer<CodeBatch> spoil) {
        this.spoil = spoil;
    }

    @Override
    public String name() {
        return "spoiling";
    }

    @Override
    public String description() {
        return "wrong on purpose";
    }

    @Override
    public TopKEncoder open(Dictionary dictionary) {
        TopKEncoder right = healthy.open(dictionary);
        return new TopKEncoder() {
            @Override
            public Dictionary dictionary() {
                return dictionary;
            }

            @Override
            public void encode(MemorySegment vectors, int rows, int budget, CodeBatch codes) {
                right.encode(vectors, rows, budget, codes);
                spoil.accept(codes);
            }

            @Override
            public void reload() {
                right.reload();
            }

            @Override
            public void close() {
                right.close();
            }
        };
    }

    @Override
    public void close() {
        healthy.close();
    }
}
