package io.sparrowkv.tornado;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import uk.ac.manchester.tornado.api.common.TornadoDevice;

/**
 * Dictionaries of one shape that share a plan, so that all sites of a model are compiled for once. The plan is made at the first batch,
 * for the dictionaries there are by then, and anew only when more of them or a larger budget outgrow it.
 */
final class DictionaryGroup implements AutoCloseable {
    /** Budgets up to it need no second plan. */
    private static final int USUAL_BUDGET = 64;

    /** Most floats of a bank: the kernels' indexes are 32 bits, and devices refuse very large buffers. */
    private static final int MOST_FLOATS = 1 << 28;

    private final TornadoDevice device;
    private final boolean gpuKernels;
    private final int dHead;
    private final int latents;
    private final List<Dictionary> slots = new ArrayList<>();
    private EncodePlan plan;
    private boolean changed;

    DictionaryGroup(TornadoDevice device, boolean gpuKernels, int dHead, int latents) {
        this.device = device;
        this.gpuKernels = gpuKernels;
        this.dHead = dHead;
        this.latents = latents;
    }

    /** Whether a dictionary has this group's shape and there is room for it. */
    boolean takes(Dictionary dictionary) {
        return dictionary.dHead() == dHead
                && dictionary.latents() == latents
                && (slots.contains(null) || slots.size() < mostSlots());
    }

    /** Takes a dictionary in; its weights are read at the next batch. */
    int add(Dictionary dictionary) {
        changed = true;
        int free = slots.indexOf(null);
        if (free >= 0) {
            slots.set(free, dictionary);
            return free;
        }
        slots.add(dictionary);
        return slots.size() - 1;
    }

    void remove(int slot) {
        slots.set(slot, null);
        if (slots.stream().allMatch(Objects::isNull)) {
            close();
        }
    }

    /** Has the weights read again before the next batch. */
    void reload() {
        changed = true;
    }

    void encode(int slot, MemorySegment vectors, CodeBatch codes) {
        if (plan == null || plan.bank().slots() < slots.size() || plan.budget() < codes.budget()) {
            build(codes.budget());
        }
        if (changed) {
            upload();
        }
        plan.encode(slots.get(slot), slot, vectors, codes);
    }

    /** The plan, once there was a batch. */
    Optional<EncodePlan> plan() {
        return Optional.ofNullable(plan);
    }

    @Override
    public void close() {
        if (plan != null) {
            plan.close();
            plan = null;
        }
    }

    private void build(int budget) {
        close();
        int roomy = Math.min(powerOfTwo(slots.size()), mostSlots());
        DictionaryBank bank = new DictionaryBank(dHead, latents, roomy);
        KernelPair kernels = gpuKernels ? new KernelPair.Gpu(bank.panels()) : new KernelPair.Cpu();
        plan = new EncodePlan(device, kernels, bank, Math.max(powerOfTwo(budget), Math.min(USUAL_BUDGET, latents)));
        changed = true;
    }

    private void upload() {
        for (int slot = 0; slot < slots.size(); slot++) {
            if (slots.get(slot) != null) {
                plan.bank().pack(slot, slots.get(slot));
            }
        }
        plan.upload();
        changed = false;
    }

    private int mostSlots() {
        return Math.max(1, MOST_FLOATS / DictionaryBank.slotSize(dHead, latents));
    }

    private static int powerOfTwo(int least) {
        return least <= 1 ? 1 : Integer.highestOneBit(least - 1) << 1;
    }
}
