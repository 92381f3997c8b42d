package io.sparrowkv.tornado;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.CodeCheck;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * A small batch of awkward shape on the real device, held against the definition of a code. The budget is large enough for some thread
 * of the GPU's selection to give away all that it held, and to look for more.
 */
final class SelfTest {
    private static final int WIDTH = 20;
    private static final int LATENTS = 600;
    private static final int ROWS = 70;
    private static final int BUDGET = 100;

    private SelfTest() {}

    /** What is wrong with the backend's codes, in one line; empty when they are right. */
    static Optional<String> run(TornadoBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary =
                        RandomDictionaries.dictionary(Site.of(0, VectorKind.KEY), RopeStage.PRE, WIDTH, LATENTS, 1);
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(ROWS, BUDGET)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, ROWS, WIDTH, 2);
            encoder.encode(vectors, ROWS, BUDGET, codes);
            CodeCheck check = new CodeCheck(dictionary);
            for (int row = 0; row < ROWS; row++) {
                Optional<String> wrong = check.disagreement(vectors, codes, row);
                if (wrong.isPresent()) {
                    return wrong;
                }
            }
            return Optional.empty();
        }
    }
}
