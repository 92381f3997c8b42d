package io.sparrowkv.store;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ArrowBlockStoreTest {
    private static final Site SITE = Site.of(0, VectorKind.KEY);
    /** 768 bytes a block: no power of two. */
    private static final CodeBlockLayout LAYOUT = new CodeBlockLayout(SITE, 1, 16, 3);

    private static final CodeBlockLayout WIDE = new CodeBlockLayout(SITE, 1, 16, 5);

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void behavesAsAMap(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        Map<BlockKey, byte[]> map = new HashMap<>();
        Map<BlockLease, byte[]> leased = new HashMap<>();
        try (ArrowBlockStore store = new ArrowBlockStore(1 << 20)) {
            for (int step = 0; step < 2000; step++) {
                BlockKey key = new BlockKey(random.nextInt(40), Site.of(random.nextInt(2), VectorKind.KEY));
                switch (random.nextInt(5)) {
                    case 0, 1 -> {
                        CodeBlockLayout layout = random.nextBoolean() ? LAYOUT : WIDE;
                        byte[] content = new byte[(int) layout.byteSize()];
                        random.nextBytes(content);
                        store.put(key, layout, MemorySegment.ofArray(content));
                        map.put(key, content);
                    }
                    case 2 -> assertThat(store.remove(key)).isEqualTo(map.remove(key) != null);
                    case 3 -> {
                        Optional<BlockLease> lease = store.get(key);
                        assertThat(lease.isPresent()).isEqualTo(map.containsKey(key));
                        lease.ifPresent(held -> leased.put(held, map.get(key)));
                    }
                    default ->
                        leased.entrySet().removeIf(entry -> {
                            assertThat(entry.getKey().body().toArray(JAVA_BYTE)).isEqualTo(entry.getValue());
                            entry.getKey().close();
                            return true;
                        });
                }
                assertThat(store.contains(key)).isEqualTo(map.containsKey(key));
            }
            leased.forEach((lease, content) -> {
                assertThat(lease.body().toArray(JAVA_BYTE)).isEqualTo(content);
                lease.close();
            });
            assertThat(store.keys()).containsExactlyInAnyOrderElementsOf(map.keySet());
            long bytes =
                    map.values().stream().mapToLong(content -> content.length).sum();
            assertThat(store.statistics()).isEqualTo(new StoreStatistics(map.size(), bytes, 1 << 20));
        }
    }

    @Test
    void countsExactlyWhatBlocksTake() {
        try (ArrowBlockStore store = new ArrowBlockStore(10_000)) {
            put(store, 1);
            put(store, 2);
            assertThat(store.statistics().bytes()).isEqualTo(2 * 768);
            store.remove(new BlockKey(1, SITE));
            assertThat(store.statistics().bytes()).isEqualTo(768);
        }
    }

    @Test
    void aDroppedBlockStaysReadableUntilItsLeaseEnds() {
        try (ArrowBlockStore store = new ArrowBlockStore(10_000)) {
            put(store, 1);
            try (BlockLease lease = store.get(new BlockKey(1, SITE)).orElseThrow()) {
                store.remove(new BlockKey(1, SITE));
                assertThat(store.statistics()).isEqualTo(new StoreStatistics(0, 768, 10_000));
                assertThat(lease.body().get(JAVA_BYTE, 767)).isEqualTo((byte) 1);
            }
            assertThat(store.statistics().bytes()).isZero();
        }
    }

    @Test
    void aFullStoreRefusesAndStaysAsItWas() {
        try (ArrowBlockStore store = new ArrowBlockStore(2 * 768)) {
            put(store, 1);
            put(store, 2);
            assertThatThrownBy(() -> put(store, 3))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("768 bytes", "1536 of 1536", "raise its limit");
            assertThat(store.statistics().blocks()).isEqualTo(2);
            store.remove(new BlockKey(1, SITE));
            put(store, 3);
            assertThat(store.contains(new BlockKey(3, SITE))).isTrue();
        }
    }

    @Test
    void aLeaseThatIsNotClosedIsReportedAsALeak() {
        ArrowBlockStore store = new ArrowBlockStore(10_000);
        put(store, 1);
        assertThat(store.get(new BlockKey(1, SITE))).isPresent();
        assertThatThrownBy(store::close).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void sequencesNeverShareAPrefix() {
        try (ArrowBlockStore store = new ArrowBlockStore(10_000)) {
            List<Long> prefixes = new ArrayList<>();
            for (int sequence = 0; sequence < 20; sequence++) {
                long opened = store.openSequence();
                for (int block = 0; block < 500; block++) {
                    prefixes.add(BlockKey.chain(opened, block));
                }
            }
            assertThat(prefixes).doesNotHaveDuplicates();
        }
    }

    private static void put(ArrowBlockStore store, int content) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment body = arena.allocate(LAYOUT.byteSize(), 64);
            body.fill((byte) content);
            store.put(new BlockKey(content, SITE), LAYOUT, body);
        }
    }
}
