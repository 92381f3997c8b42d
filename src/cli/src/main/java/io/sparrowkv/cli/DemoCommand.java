package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.eval.PerplexityEvaluation;
import io.sparrowkv.eval.PlantedFacts;
import io.sparrowkv.eval.VectorFidelity;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.generate.GenerationListener;
import io.sparrowkv.llm.generate.GenerationRequest;
import io.sparrowkv.llm.generate.Generator;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import io.sparrowkv.report.LineChart;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.train.SiteReport;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The whole way once, on the bundled model: a prompt with planted facts, read and asked with the dense and the sparse cache. */
@Command(
        name = "demo",
        description = "Show on the bundled model what the sparse cache remembers, costs and saves.",
        sortOptions = false)
final class DemoCommand implements Runnable {
    private static final String PROSE = "demo-prose.txt";
    private static final int ANSWER_TOKENS = 8;

    @Option(names = "--facts", paramLabel = "N", description = "Facts to plant, 1 to 8 (default: 4).")
    private int facts = 4;

    @Option(names = "--seed", paramLabel = "N", description = "Chooses names and numbers (default: 1).")
    private long seed = 1;

    @Option(
            names = "--chart",
            paramLabel = "FILE",
            description = "Where the chart of fidelity over K goes (default: out/demo-fidelity.png).")
    private Path chart = Path.of("out", "demo-fidelity.png");

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--facts", facts, 1, 8);
        OutputPaths.requireWritable(chart);
        Libtorch.useThreads(dictionaries.threads());
        Path folder = Home.bundledModel().orElseThrow(Home::noBundledModel);
        try (CausalLm lm = CausalLm.load(folder);
                TextTokenizer tokenizer = TextTokenizer.load(folder, lm.config().vocabulary());
                SparseCaches caches = SparseCaches.open(lm, dictionaries)) {
            PlantedFacts planted = PlantedFacts.plant(
                    prose().lines().filter(line -> !line.isBlank()).toList(), facts, seed);
            CacheOptions options = CacheOptions.defaults().withThreads(dictionaries.threads());
            say("the model reads " + tokenizer.encode(planted.text()).length + " tokens in which " + facts
                    + " facts are planted, and is asked for each");
            CacheOptions recommended = RecommendedCodes.of(options, dictionaries, lm, caches.dictionaries());
            List<Answer> answers = ask(lm, tokenizer, caches, planted, options, recommended);
            say("the same text again, predictions compared token by token");
            int[] ids = tokenizer.encode(planted.text());
            PerplexityEvaluation.Result evaluation = new PerplexityEvaluation(
                            lm, List.of(caches.underTest(options)), ids.length, EvalPplCommand.DEFAULT_CHUNK)
                    .run(ids, done -> {})
                    .getFirst();
            say("each dictionary on the text's keys and values, at budgets from 1 to 128");
            List<SiteReport> sites;
            try (var source = new ModelVectorSource(lm, ids, ids.length)) {
                sites = VectorFidelity.measure(
                        source,
                        caches.dictionaries(),
                        options.read().value(),
                        options.refinement(),
                        caches.encoders(),
                        dictionaries.threads());
            }
            List<Fidelity> fidelity = fidelity(sites);
            draw(fidelity);
            output.emit(new Result("demo", options, recommended, answers, evaluation, fidelity, chart.toString()));
        }
    }

    private void say(String what) {
        output.err().println("sparrow: demo: " + what);
    }

    private List<Answer> ask(
            CausalLm lm,
            TextTokenizer tokenizer,
            SparseCaches caches,
            PlantedFacts planted,
            CacheOptions options,
            CacheOptions recommended) {
        Generator generator = new Generator(lm, tokenizer);
        List<Answer> answers = new ArrayList<>();
        for (PlantedFacts.Fact fact : planted.facts()) {
            int[] prompt = tokenizer.encode(planted.text() + fact.question());
            GenerationRequest request = GenerationRequest.greedy(prompt, ANSWER_TOKENS);
            answers.add(new Answer(
                    fact,
                    answer(generator, request, new DenseKvCache(lm.config().attentionShape(), request.contextTokens())),
                    answer(generator, request, caches.newCache(options)),
                    answer(generator, request, caches.newCache(recommended))));
        }
        return answers;
    }

    private static String answer(Generator generator, GenerationRequest request, KvCache cache) {
        try (cache) {
            return generator
                    .generate(request, cache, GenerationListener.NONE)
                    .text()
                    .lines()
                    .findFirst()
                    .orElse("")
                    .strip();
        }
    }

    /** Means over the layers, for each budget. */
    private static List<Fidelity> fidelity(List<SiteReport> sites) {
        List<Fidelity> means = new ArrayList<>();
        for (SiteReport.Fidelity at : sites.getFirst().fidelity()) {
            means.add(new Fidelity(
                    at.budget(), mean(sites, VectorKind.KEY, at.budget()), mean(sites, VectorKind.VALUE, at.budget())));
        }
        return means;
    }

    private static double mean(List<SiteReport> sites, VectorKind kind, int budget) {
        return sites.stream()
                .filter(site -> site.site().contains(kind.label()))
                .flatMap(site -> site.fidelity().stream())
                .filter(fidelity -> fidelity.budget() == budget)
                .mapToDouble(SiteReport.Fidelity::cosine)
                .average()
                .orElseThrow();
    }

    private void draw(List<Fidelity> fidelity) {
        Map<String, double[]> lines = new LinkedHashMap<>();
        lines.put("keys", fidelity.stream().mapToDouble(Fidelity::keyCosine).toArray());
        lines.put("values", fidelity.stream().mapToDouble(Fidelity::valueCosine).toArray());
        LineChart.write(
                "Fidelity of the codes over K, mean of the layers",
                "pairs of a code, K",
                "cosine of the vector and its code",
                fidelity.stream().map(Fidelity::budget).toList(),
                lines,
                chart);
    }

    private static String prose() {
        try (InputStream text = DemoCommand.class.getResourceAsStream(PROSE)) {
            return new String(text.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What each cache answers when it is asked for a fact. */
    record Answer(PlantedFacts.Fact fact, String dense, String sparse, String sparseLargest) {
        Stream<String> all() {
            return Stream.of(dense, sparse, sparseLargest);
        }
    }

    /** Mean cosine of the layers' vectors and their codes at a budget. */
    record Fidelity(int budget, double keyCosine, double valueCosine) {}

    /** Everything the demo found. */
    record Result(
            String command,
            CacheOptions options,
            CacheOptions recommended,
            List<Answer> answers,
            PerplexityEvaluation.Result evaluation,
            List<Fidelity> fidelity,
            String chart)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.println();
            answers(out);
            out.println();
            EvalPplCommand.comparison(evaluation).print(out);
            out.println();
            CacheBytesTable.print(evaluation.bytes(), out);
            out.printf("%nfidelity over K: %s%n", chart);
        }

        private void answers(PrintWriter out) {
            TextTable table = TextTable.columns(
                            "planted, and asked again",
                            "dense",
                            "sparse " + BudgetText.of(options),
                            "sparse, recommended")
                    .left(1, 2, 3);
            int[] right = new int[3];
            for (Answer answer : answers) {
                List<String> said = answer.all().toList();
                for (int i = 0; i < right.length; i++) {
                    right[i] += PlantedFacts.Fact.numberIn(said.get(i))
                                    .equals(answer.fact().number())
                            ? 1
                            : 0;
                }
                table.row(answer.fact().statement(), said.get(0), said.get(1), said.get(2));
            }
            table.row("remembered", of(right[0]), of(right[1]), of(right[2]));
            table.print(out);
        }

        private String of(int right) {
            return right + " of " + answers.size();
        }
    }
}
