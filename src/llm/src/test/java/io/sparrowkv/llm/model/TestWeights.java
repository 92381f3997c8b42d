package io.sparrowkv.llm.model;

import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.SafetensorsFile;
import io.sparrowkv.safetensors.SafetensorsWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;

/** Copies of a model's folder in another form. */
final class TestWeights {
    private TestWeights() {}

    /** Copies a model of one file, its weights widened to F32. */
    static void widen(Path from, Path to) {
        try (SafetensorsFile file = SafetensorsFile.open(from.resolve(ModelWeights.SINGLE_FILE))) {
            Files.createDirectories(to);
            Files.copy(from.resolve(ModelConfig.FILE), to.resolve(ModelConfig.FILE));
            SafetensorsWriter writer = new SafetensorsWriter();
            for (String name : file.names()) {
                float[] values = new float[(int) file.tensor(name).elements()];
                file.readFloats(name, MemorySegment.ofArray(values));
                writer.add(name, DType.F32, file.tensor(name).shape(), MemorySegment.ofArray(values));
            }
            writer.write(to.resolve(ModelWeights.SINGLE_FILE));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
