package io.sparrowkv.train;

import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A training of several sites at once.
 *
 * @param sites all alike in their {@link Heads}, ascending
 * @param rope where keys are taken
 * @param trainer how each site is trained
 * @param bufferRows vectors of a site that are shuffled together; of one site they take 4 · dHead bytes each
 * @param heldOutRows vectors of a site, about, that are kept from training for the report
 */
public record TrainingSettings(
        List<Site> sites, RopeStage rope, TrainerSettings trainer, int bufferRows, int heldOutRows) {
    public static final int DEFAULT_BUFFER_ROWS = 65_536;
    public static final int DEFAULT_HELD_OUT_ROWS = 16_384;

    public TrainingSettings {
        sites = sites.stream().sorted().distinct().toList();
        if (sites.isEmpty()) {
            throw new InvalidInputException("no site is chosen; choose at least one layer, keys or values");
        }
        Heads heads = sites.getFirst().heads();
        if (!sites.stream().allMatch(site -> site.heads() == heads)) {
            throw new InvalidInputException("sites " + sites + " mix shared, single and joint heads; train them apart");
        }
        if (bufferRows < 1 || heldOutRows < 1) {
            throw new InvalidInputException(
                    "buffer of %d rows, %d held out: both must be positive".formatted(bufferRows, heldOutRows));
        }
    }

    /**
     * Keys and values of the layers, with the default buffers. */
    public static TrainingSettings of(
            VectorOrigin origin, List<Integer> layers, Heads heads, RopeStage rope, TrainerSettings trainer) {
        List<Site> sites = new ArrayList<>();
        for (int layer : layers) {
            for (VectorKind kind : VectorKind.values()) {
                sites.addAll(heads.sites(layer, kind, origin.kvHeads()));
            }
        }
        return new TrainingSettings(sites, rope, trainer, DEFAULT_BUFFER_ROWS, DEFAULT_HELD_OUT_ROWS);
    }

    /** Width of a site's vectors. */
    int width(VectorOrigin origin) {
        return sites.getFirst().heads().width(origin.kvHeads(), origin.dHead());
    }

    /** Everything that the result depends on, by name: what a checkpoint must have in common with the run that goes on from it. */
    Map<String, String> identity(VectorOrigin origin) {
        Map<String, String> fields = new LinkedHashMap<>();
        fields.put("model", origin.modelFingerprint());
        fields.put("text", origin.dataFingerprint());
        fields.put("sites", sites.toString());
        fields.put("rope", rope.label());
        fields.put("latents", Integer.toString(trainer.latents()));
        fields.put("loss", trainer.loss().toString());
        fields.put("schedule", trainer.schedule().toString());
        fields.put("auxiliary", trainer.auxiliary().toString());
        fields.put("refine", trainer.refinement().label());
        fields.put("dead", trainer.refinement().kind() == Refinement.Kind.NONE ? "auxiliary loss" : "replaced");
        fields.put("initialisation", trainer.initialisation().label());
        fields.put("seed", Long.toString(trainer.seed()));
        fields.put("buffer_rows", Integer.toString(bufferRows));
        fields.put("held_out_rows", Integer.toString(heldOutRows));
        return fields;
    }
}
