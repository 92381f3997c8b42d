package io.sparrowkv.llm.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.ReferenceModel;
import io.sparrowkv.llm.model.SharedData;
import io.sparrowkv.llm.model.TinyModel;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GeneratorTest {
    @TempDir
    Path folder;

    private CausalLm lm;
    private TextTokenizer tokenizer;

    @BeforeEach
    void load() {
        TinyModel.llama().write(folder);
        lm = CausalLm.load(folder);
        tokenizer = TextTokenizer.load(folder, TinyModel.VOCABULARY);
    }

    @AfterEach
    void close() {
        tokenizer.close();
        lm.close();
    }

    private Generation generate(GenerationRequest request) {
        return generate(request, GenerationListener.NONE);
    }

    private Generation generate(GenerationRequest request, GenerationListener listener) {
        try (KvCache cache = new DenseKvCache(lm.config().attentionShape(), request.contextTokens())) {
            return new Generator(lm, tokenizer).generate(request, cache, listener);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 512})
    void greedyTokensAreTheReferencesWhateverThePrefillChunk(int chunk) {
        int[] prompt = tokenizer.encode("A prompt.");
        ReferenceModel reference = new ReferenceModel(folder);
        int[] expected = prompt;
        for (int i = 0; i < 12; i++) {
            double[] logits = reference.run(expected).logits().getLast();
            int best = 0;
            for (int t = 1; t < logits.length; t++) {
                best = logits[t] > logits[best] ? t : best;
            }
            expected = Arrays.copyOf(expected, expected.length + 1);
            expected[expected.length - 1] = best;
        }
        List<Integer> progress = new ArrayList<>();
        Generation result = generate(
                GenerationRequest.greedy(prompt, 12).withStopAtEnd(false).withPrefillChunk(chunk),
                new GenerationListener() {
                    @Override
                    public void text(String text) {}

                    @Override
                    public void prefilled(int tokens, int all) {
                        assertThat(all).isEqualTo(prompt.length);
                        progress.add(tokens);
                    }
                });
        assertThat(result.tokens()).containsExactly(Arrays.copyOfRange(expected, prompt.length, expected.length));
        assertThat(result.promptTokens()).isEqualTo(prompt.length);
        assertThat(result.end()).isEqualTo(Generation.End.LENGTH);
        assertThat(progress)
                .isSorted()
                .hasSize((prompt.length + chunk - 1) / chunk)
                .endsWith(prompt.length);
        // the last token never enters the cache; keys and values of 2 layers, 2 heads of 8, fp32
        assertThat(result.cacheBytes()).isEqualTo((prompt.length + 11) * 2L * 2 * 2 * 8 * 4);
    }

    @Test
    void theStreamedTextIsTheResultsText() {
        Sampling sampling = new Sampling(1.2, 0, 1, 3);
        StringBuilder streamed = new StringBuilder();
        GenerationRequest request = GenerationRequest.greedy(tokenizer.encode("x"), 80)
                .withSampling(sampling)
                .withStopAtEnd(false);
        Generation result = generate(request, streamed::append);
        assertThat(streamed).hasToString(result.text());
        assertThat(generate(request).text()).isEqualTo(result.text());
        assertThat(generate(request.withSampling(new Sampling(1.2, 0, 1, 4))).text())
                .isNotEqualTo(result.text());
    }

    @Test
    void aStopStringEndsTheTextAndIsNoPartOfIt() {
        GenerationRequest request = GenerationRequest.greedy(tokenizer.encode("x"), 60)
                .withSampling(new Sampling(1, 0, 1, 8))
                .withStopAtEnd(false);
        String whole = generate(request).text();
        String stop = whole.substring(10, 12);
        StringBuilder streamed = new StringBuilder();
        Generation result = generate(request.withStopStrings(List.of(stop)), streamed::append);
        assertThat(result.text()).isEqualTo(whole.substring(0, whole.indexOf(stop)));
        assertThat(streamed).hasToString(result.text());
        assertThat(result.end()).isEqualTo(Generation.End.STOP_STRING);
        assertThat(result.tokens().length).isLessThan(60);
    }

    @Test
    void theEndOfSequenceTokenEndsTheTextUnlessItIsToBeIgnored() {
        int[] prompt = tokenizer.encode("some words");
        int first = generate(GenerationRequest.greedy(prompt, 5).withStopAtEnd(false))
                .tokens()[0];
        Path ending = TinyModel.llama().set("eos_token_id", List.of(first, 7)).write(folder.resolve("ending"));
        try (CausalLm model = CausalLm.load(ending)) {
            Generator generator = new Generator(model, tokenizer);
            try (KvCache cache = new DenseKvCache(model.config().attentionShape(), 20)) {
                Generation result =
                        generator.generate(GenerationRequest.greedy(prompt, 5), cache, GenerationListener.NONE);
                assertThat(result.end()).isEqualTo(Generation.End.END_OF_SEQUENCE);
                assertThat(result.tokens()).containsExactly(first);
                assertThat(result.text()).isEmpty();
            }
            try (KvCache cache = new DenseKvCache(model.config().attentionShape(), 20)) {
                GenerationRequest ignoring = GenerationRequest.greedy(prompt, 5).withStopAtEnd(false);
                assertThat(generator
                                .generate(ignoring, cache, GenerationListener.NONE)
                                .tokens())
                        .hasSize(5);
            }
        }
    }

    @Test
    void aContextBeyondTheLimitIsRefusedUnlessItIsLifted() {
        GenerationRequest request = GenerationRequest.greedy(new int[120], 9); // the limit is 128
        assertThatThrownBy(() -> generate(request))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("120", "9 new", "129", "128", "--max-context 129");
        assertThat(generate(request.withMaxContext(129).withStopAtEnd(false)).tokens())
                .hasSize(9);
    }

    @Test
    void withoutATokenizerTheTokensAreTheSameAndTheTextIsEmpty() {
        GenerationRequest request = GenerationRequest.greedy(tokenizer.encode("some words"), 6)
                .withStopAtEnd(false)
                .withPrefillChunk(3);
        List<Integer> counted = new ArrayList<>();
        try (KvCache cache = new DenseKvCache(lm.config().attentionShape(), request.contextTokens())) {
            Generation alone = new Generator(lm).generate(request, cache, new GenerationListener() {
                @Override
                public void text(String text) {
                    throw new AssertionError("there is no text: " + text);
                }

                @Override
                public void generated(int tokens) {
                    counted.add(tokens);
                }
            });
            assertThat(alone.tokens()).isEqualTo(generate(request).tokens());
            assertThat(alone.text()).isEmpty();
            assertThat(alone.end()).isEqualTo(Generation.End.LENGTH);
            assertThat(counted).containsExactly(1, 2, 3, 4, 5, 6);
            assertThatThrownBy(() -> new Generator(lm)
                            .generate(request.withStopStrings(List.of(".")), cache, GenerationListener.NONE))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void requestsThatMakeNoSenseAreRefused() {
        assertThatThrownBy(() -> GenerationRequest.greedy(new int[0], 1))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("prompt is empty");
        assertThatThrownBy(() -> GenerationRequest.greedy(new int[1], 0)).isInstanceOf(InvalidInputException.class);
        assertThatThrownBy(() -> GenerationRequest.greedy(new int[1], 1).withStopStrings(List.of("")))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("stop string is empty");
    }

    @Test
    void aTrainedModelRepeatsAPlantedFact() throws IOException {
        Path model = SharedData.require("models/gutenberg-7m");
        String prose = Files.readString(SharedData.require("data/gutenberg/heldout.txt"))
                .substring(20_000, 23_000);
        String prompt = "The secret number of Margaret is 48213.\n" + prose + "\nThe secret number of Margaret is";
        try (CausalLm trained = CausalLm.load(model);
                TextTokenizer words = TextTokenizer.load(model, trained.config().vocabulary());
                KvCache cache = new DenseKvCache(trained.config().attentionShape(), 2048)) {
            GenerationRequest request =
                    GenerationRequest.greedy(words.encode(prompt), 20).withStopStrings(List.of("."));
            Generation result = new Generator(trained, words).generate(request, cache, GenerationListener.NONE);
            assertThat(result.text()).isEqualTo(" 48213");
        }
    }
}
