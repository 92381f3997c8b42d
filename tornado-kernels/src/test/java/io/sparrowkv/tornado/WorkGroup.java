package io.sparrowkv.tornado;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import uk.ac.manchester.tornado.api.KernelContext;

/**
 * Runs a kernel as plain Java, group after group, each work item of a group a thread: barriers are barriers, and local arrays are shared
 * in the order in which the kernel allocates them.
 */
final class WorkGroup {
    private final int width;
    private final int height;
    private final CyclicBarrier barrier;
    private final List<Object> local = new ArrayList<>();

    private WorkGroup(int width, int height) {
        this.width = width;
        this.height = height;
        this.barrier = new CyclicBarrier(width * height);
    }

    /** Runs a kernel over a grid of groups of {@code width} × {@code height} work items. */
    static void launch(int groupsX, int groupsY, int width, int height, Consumer<KernelContext> kernel)
            throws InterruptedException, ExecutionException {
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int y = 0; y < groupsY; y++) {
                for (int x = 0; x < groupsX; x++) {
                    WorkGroup group = new WorkGroup(width, height);
                    List<Future<?>> items = new ArrayList<>();
                    for (int item = 0; item < width * height; item++) {
                        KernelContext context = group.new Item(x, y, item % width, item / width);
                        items.add(threads.submit(() -> kernel.accept(context)));
                    }
                    for (Future<?> item : items) {
                        item.get();
                    }
                }
            }
        }
    }

    private synchronized Object shared(int position, Object fresh) {
        if (position == local.size()) {
            local.add(fresh);
        }
        return local.get(position);
    }

    private final class Item extends KernelContext {
        private int allocated;

        Item(int groupX, int groupY, int x, int y) {
            set("groupIdx", groupX);
            set("groupIdy", groupY);
            set("localIdx", x);
            set("localIdy", y);
            set("globalIdx", groupX * width + x);
            set("globalIdy", groupY * height + y);
        }

        @Override
        public void localBarrier() {
            try {
                barrier.await();
            } catch (InterruptedException | BrokenBarrierException e) {
                throw new IllegalStateException(e);
            }
        }

        @Override
        public void globalBarrier() {
            localBarrier();
        }

        @Override
        public float[] allocateFloatLocalArray(int size) {
            return (float[]) shared(allocated++, new float[size]);
        }

        @Override
        public int[] allocateIntLocalArray(int size) {
            return (int[]) shared(allocated++, new int[size]);
        }

        /** In plain Java the fields are constants of 0. */
        private void set(String name, int value) {
            try {
                Field field = KernelContext.class.getField(name);
                field.setAccessible(true);
                field.set(this, value);
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
