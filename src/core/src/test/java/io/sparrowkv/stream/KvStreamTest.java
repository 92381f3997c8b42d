package io.sparrowkv.stream;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.encode.ScalarEncoderProvider;
import io.sparrowkv.encode.ScalarTopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class KvStreamTest {
    private static final int D_HEAD = 16;
    private static final int HEADS = 2;
    private static final int BUDGET = 4;

    private final EncoderBackend encoders = new ScalarEncoderProvider().start(1);
    private final Dictionary shared =
            RandomDictionaries.dictionary(Site.of(0, VectorKind.KEY), RopeStage.POST, D_HEAD, 40, 1);
    private final Dictionary other =
            RandomDictionaries.dictionary(new Site(0, VectorKind.KEY, 1), RopeStage.POST, D_HEAD, 30, 2);

    /** Keeps the atom indices it is given, token by token, and may wait at a gate first. */
    private static final class Recorder implements CodeTarget {
        final List<Dictionary> dictionaries;
        final List<List<Integer>> rows = new ArrayList<>();
        final AtomicInteger batches = new AtomicInteger();
        CountDownLatch gate = new CountDownLatch(0);
        private volatile int tokens;

        Recorder(Dictionary... dictionaries) {
            this.dictionaries = List.of(dictionaries);
        }

        @Override
        public List<Dictionary> dictionaries() {
            return dictionaries;
        }

        @Override
        public int codesOfToken() {
            return dictionaries.getFirst().site().heads() == Heads.JOINT ? 1 : HEADS;
        }

        @Override
        public int budget() {
            return BUDGET;
        }

        @Override
        public void accept(CodeBatch codes, MemorySegment vectors, int firstToken, int count) {
            try {
                gate.await();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            assertThat(firstToken).isEqualTo(tokens);
            for (int row = 0; row < count * codesOfToken(); row++) {
                rows.add(indices(codes, row));
            }
            batches.incrementAndGet();
            tokens = firstToken + count;
        }

        @Override
        public int tokens() {
            return tokens;
        }
    }

    @AfterEach
    void close() {
        encoders.close();
        shared.close();
        other.close();
    }

    @Test
    void codesArriveInTheOrderOfTheTokens() {
        Recorder target = new Recorder(shared);
        try (KvStream stream = stream(2)) {
            for (int first = 0; first < 100; first += 10) {
                submit(stream, target, first, 10);
            }
            stream.await(target, 100);
        }
        assertThat(target.rows).isEqualTo(expected(100, shared, shared));
    }

    @Test
    void headsAreEncodedWithTheirOwnDictionaries() {
        Recorder target = new Recorder(shared, other);
        try (KvStream stream = stream(2)) {
            submit(stream, target, 0, 10);
            stream.await(target, 10);
        }
        assertThat(target.rows).isEqualTo(expected(10, shared, other));
    }

    @Test
    void jointHeadsHaveOneCode() {
        try (Dictionary joint =
                RandomDictionaries.dictionary(Site.joint(0, VectorKind.KEY), RopeStage.POST, HEADS * D_HEAD, 40, 3)) {
            Recorder target = new Recorder(joint);
            try (KvStream stream = stream(2)) {
                submit(stream, target, 0, 10);
                submit(stream, target, 10, 7);
                stream.await(target, 17);
            }
            assertThat(target.rows).hasSize(17).isEqualTo(expectedJoint(17, joint));
        }
    }

    @Test
    void theSubmitterWaitsWhileTheQueueIsFull() throws InterruptedException {
        Recorder target = new Recorder(shared);
        target.gate = new CountDownLatch(1);
        AtomicInteger submitted = new AtomicInteger();
        try (KvStream stream = stream(3)) {
            Thread submitter = Thread.ofPlatform().start(() -> {
                for (int first = 0; first < 8; first++) {
                    submit(stream, target, first, 1);
                    submitted.incrementAndGet();
                }
            });
            while (submitted.get() < 3) {
                Thread.onSpinWait();
            }
            submitter.join(200);
            assertThat(submitted.get()).isEqualTo(3);
            assertThat(submitter.isAlive()).isTrue();
            target.gate.countDown();
            submitter.join();
            stream.await(target, 8);
            assertThat(target.batches.get()).isEqualTo(8);
        }
    }

    @Test
    void aFailureReachesEveryLaterCallAsItWas() {
        Recorder target = new Recorder(shared);
        try (KvStream stream = stream(2)) {
            VectorBatch batch = stream.acquire();
            batch.vectors().fill((byte) 0);
            batch.vectors().setAtIndex(JAVA_FLOAT, 5, Float.POSITIVE_INFINITY);
            stream.submit(batch, target, 0, 1);
            assertThatThrownBy(() -> stream.await(target, 1)).isInstanceOf(NonFiniteVectorException.class);
            assertThatThrownBy(stream::acquire).isInstanceOf(NonFiniteVectorException.class);
            assertThatThrownBy(stream::check).isInstanceOf(NonFiniteVectorException.class);
        }
    }

    @Test
    void closingAbandonsWhatWaits() throws InterruptedException {
        Recorder target = new Recorder(shared);
        target.gate = new CountDownLatch(1);
        KvStream stream = stream(3);
        submit(stream, target, 0, 1);
        submit(stream, target, 1, 1);
        submit(stream, target, 2, 1);
        Thread closer = Thread.ofPlatform().start(stream::close);
        closer.join(TimeUnit.MILLISECONDS.toMillis(100));
        target.gate.countDown();
        closer.join();
        assertThat(target.batches.get()).isLessThan(3);
        assertThatThrownBy(stream::acquire).isInstanceOf(IllegalStateException.class);
    }

    private KvStream stream(int batches) {
        return new KvStream(encoders::open, HEADS, D_HEAD, BUDGET, 10, batches);
    }

    private static void submit(KvStream stream, CodeTarget target, int firstToken, int tokens) {
        VectorBatch batch = stream.acquire();
        try (Arena arena = Arena.ofConfined()) {
            for (int token = 0; token < tokens; token++) {
                MemorySegment vectors = vectors(arena, firstToken + token);
                MemorySegment.copy(vectors, 0, batch.vectors(), token * vectors.byteSize(), vectors.byteSize());
            }
        }
        stream.submit(batch, target, firstToken, tokens);
    }

    private static MemorySegment vectors(Arena arena, int token) {
        return RandomDictionaries.vectors(arena, HEADS, D_HEAD, token);
    }

    private static List<List<Integer>> expected(int tokens, Dictionary... byHead) {
        List<List<Integer>> rows = new ArrayList<>();
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = CodeBatch.allocate(HEADS, BUDGET)) {
            for (int token = 0; token < tokens; token++) {
                for (int head = 0; head < HEADS; head++) {
                    try (ScalarTopKEncoder encoder = new ScalarTopKEncoder(byHead[head])) {
                        encoder.encode(vectors(arena, token), HEADS, BUDGET, codes);
                        rows.add(indices(codes, head));
                    }
                }
            }
        }
        return rows;
    }

    private static List<List<Integer>> expectedJoint(int tokens, Dictionary joint) {
        List<List<Integer>> rows = new ArrayList<>();
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = CodeBatch.allocate(1, BUDGET);
                ScalarTopKEncoder encoder = new ScalarTopKEncoder(joint)) {
            for (int token = 0; token < tokens; token++) {
                encoder.encode(vectors(arena, token), 1, BUDGET, codes);
                rows.add(indices(codes, 0));
            }
        }
        return rows;
    }

    private static List<Integer> indices(CodeBatch codes, int row) {
        List<Integer> indices = new ArrayList<>();
        for (int pair = 0; pair < BUDGET; pair++) {
            indices.add(codes.index(row, pair));
        }
        return indices;
    }
}
