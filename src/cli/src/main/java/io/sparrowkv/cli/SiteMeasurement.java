package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.eval.PerplexityEvaluation;
import io.sparrowkv.eval.SensitivityFile;
import io.sparrowkv.eval.SiteSensitivity;
import io.sparrowkv.eval.SiteSensitivity.Point;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.report.Progress;
import io.sparrowkv.sae.Site;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.IntConsumer;

/**
 * Measures what each choice costs at each site alone, and keeps it in a file as it comes.
 *
 * @param ids tokens of the text to measure on
 * @param context tokens of a context
 * @param options window and sinks of all caches
 * @param file where measurements are kept, and found again
 */
record SiteMeasurement(CausalLm lm, int[] ids, int context, CacheOptions options, Path file, OutputArguments output) {
    /**
     * Measures all sites, but for those that were measured before.
     *
     * @throws io.sparrowkv.io.InvalidInputException when the file is broken or cannot be written
     */
    List<SiteSensitivity> of(SiteChoices choices) {
        Map<String, String> identity = identity(choices);
        SensitivityFile measured = SensitivityFile.read(file);
        List<SiteSensitivity> sites = new ArrayList<>(measured.sites(identity));
        List<Site> all = Site.ofLayers(lm.config().layers());
        int count = all.size();
        if (!sites.isEmpty()) {
            output.err()
                    .printf(
                            "sparrow: %s: %d of %d sites were measured before (%s)%n",
                            choices.name(), sites.size(), count, file);
        }
        try (Progress progress =
                Progress.start("calibrate, " + choices.name(), (long) count * ids.length, "tokens", output.err())) {
            progress.resumeAt((long) sites.size() * ids.length);
            for (int i = sites.size(); i < count; i++) {
                Site site = all.get(i);
                long before = (long) i * ids.length;
                sites.add(sensitivity(choices, site, done -> progress.at(before + done, site.label())));
                measured = measured.with(identity, sites);
                measured.write(file);
            }
        }
        return sites;
    }

    private SiteSensitivity sensitivity(SiteChoices choices, Site site, IntConsumer progress) {
        List<String> labels = choices.labels();
        List<CacheUnderTest> alone =
                labels.stream().map(label -> choices.alone(site, label)).toList();
        List<PerplexityEvaluation.Result> results =
                new PerplexityEvaluation(lm, alone, context, EvalPplCommand.DEFAULT_CHUNK).run(ids, progress);
        List<Point> points = new ArrayList<>();
        for (int i = 0; i < labels.size(); i++) {
            String label = labels.get(i);
            double kl = results.get(i).comparison().meanKl();
            points.add(new Point(label, choices.bytes(site, label), kl));
        }
        return new SiteSensitivity(site.layer(), site.kind(), points);
    }

    /** All that a measurement depends on. */
    private Map<String, String> identity(SiteChoices choices) {
        Map<String, String> identity = new LinkedHashMap<>();
        identity.put("model", lm.fingerprint());
        identity.putAll(new TreeMap<>(choices.identity()));
        identity.put("text", ModelVectorSource.fingerprint(ids, context));
        identity.put("window", Integer.toString(options.window()));
        identity.put("sinks", Integer.toString(options.sinks()));
        return identity;
    }
}
