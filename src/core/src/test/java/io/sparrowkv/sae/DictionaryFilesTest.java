package io.sparrowkv.sae;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.ScalarTopKEncoder;
import io.sparrowkv.encode.WeighedDictionaries;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.SafetensorsFile;
import io.sparrowkv.safetensors.SafetensorsWriter;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class DictionaryFilesTest {
    private static final int D = 5;
    private static final int M = 7;
    private static final Site KEY = Site.of(1, VectorKind.KEY);
    private static final DictionaryManifest MANIFEST =
            new DictionaryManifest("tiny", "abc", 3, 2, Map.of("vectors", "12", "text", "a book"));

    @TempDir
    Path temporary;

    private final List<AutoCloseable> opened = new ArrayList<>();

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable resource : opened) {
            resource.close();
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            names = {"F32", "F16"})
    void aSetComesBackAsItWasStored(DType dtype) {
        Path folder = temporary.resolve("set");
        DictionarySet set = set();
        String fingerprint = DictionaryFiles.write(folder, set, MANIFEST, 4, dtype);
        DictionarySet read = open(DictionaryFiles.read(folder, "tiny", "abc", D));

        assertThat(DictionaryFiles.readManifest(folder)).isEqualTo(MANIFEST);
        assertThat(read.bySite().keySet()).isEqualTo(set.bySite().keySet());
        assertThat(read.rope()).isEqualTo(RopeStage.POST);
        assertThat(read.fingerprint()).isEqualTo(fingerprint).hasSize(32);
        assertThat(fingerprint.equals(set.fingerprint())).isEqualTo(dtype == DType.F32);
        for (Site site : set.bySite().keySet()) {
            Dictionary wrote = set.bySite().get(site);
            Dictionary found = read.bySite().get(site);
            assertThat(rounded(wrote.encoderWeights(), dtype)).isEqualTo(floats(found.encoderWeights()));
            assertThat(rounded(wrote.decoderWeights(), dtype)).isEqualTo(floats(found.decoderWeights()));
            assertThat(rounded(wrote.encoderBias(), dtype)).isEqualTo(floats(found.encoderBias()));
            assertThat(rounded(wrote.decoderBias(), dtype)).isEqualTo(floats(found.decoderBias()));
        }
    }

    @Test
    void aMetricComesBackWithItsDictionaryAndCountsInTheFingerprint() throws IOException {
        Path folder = temporary.resolve("set");
        Dictionary plain = open(random(KEY, 1));
        DictionarySet set = open(new DictionarySet(List.of(WeighedDictionaries.of(plain, 7))));
        String fingerprint = DictionaryFiles.write(folder, set, MANIFEST, 4, DType.F16);
        DictionarySet read = open(DictionaryFiles.read(folder));

        assertThat(read.bySite().get(KEY).metric().orElseThrow().root())
                .isEqualTo(set.bySite().get(KEY).metric().orElseThrow().root());
        Path metric = folder.resolve("layer.01.key/metric.safetensors");
        byte[] good = Files.readAllBytes(metric);
        Files.delete(metric);
        assertInvalid(() -> DictionaryFiles.read(folder), "fingerprint is", fingerprint, "copy the whole folder");
        byte[] broken = good.clone();
        Arrays.fill(broken, good.length - 4 * D * D, good.length, (byte) 0);
        Files.write(metric, broken);
        assertInvalid(() -> DictionaryFiles.read(folder), "metric.safetensors", "root is no metric", "not positive");
        Files.write(metric, Arrays.copyOf(good, good.length - 9));
        assertInvalid(() -> DictionaryFiles.read(folder), "metric.safetensors", "truncated");
    }

    @Test
    void aJointSetSaysSoInItsManifestItsFoldersAndItsFingerprint() throws IOException {
        Path folder = temporary.resolve("set");
        DictionarySet set = open(RandomDictionaries.jointSet(3, 2, RopeStage.POST, D, M, M, 1));
        DictionaryFiles.write(folder, set, MANIFEST, 4, DType.F32);
        DictionarySet read = open(DictionaryFiles.read(folder, "tiny", "abc", D));
        assertThat(read.joint()).isTrue();
        assertThat(read.dHead()).isEqualTo(2 * D);
        assertThat(read.fingerprint()).isEqualTo(set.fingerprint());
        for (int head = 0; head < 2; head++) {
            assertThat(read.of(1, VectorKind.KEY, head).site()).isEqualTo(Site.joint(1, VectorKind.KEY));
        }
        assertThat(Files.readString(folder.resolve("layer.01.key.joint/cfg.json"))
                        .replaceAll("\\s", ""))
                .contains("\"d_in\":10", "\"reshape_activations\":\"hook_z\"", "\"hook_head_index\":null");

        // The same weights as those of a model with one head of twice the width are another set.
        List<Dictionary> wide = new ArrayList<>();
        set.bySite().forEach((site, joint) -> {
            Dictionary shared = Dictionary.allocate(Site.of(site.layer(), site.kind()), joint.rope(), 2 * D, M);
            shared.encoderWeights().copyFrom(joint.encoderWeights());
            shared.decoderWeights().copyFrom(joint.decoderWeights());
            shared.encoderBias().copyFrom(joint.encoderBias());
            shared.decoderBias().copyFrom(joint.decoderBias());
            wide.add(shared);
        });
        assertThat(open(new DictionarySet(wide)).fingerprint()).isNotEqualTo(set.fingerprint());

        Path manifest = folder.resolve(DictionaryFiles.MANIFEST);
        String good = Files.readString(manifest);
        assertThat(good.replaceAll("\\s", "")).contains("\"d_head\":5", "\"heads\":\"joint\"");
        Files.writeString(manifest, good.replace("\"joint\"", "\"some\""));
        assertInvalid(() -> DictionaryFiles.read(folder), "heads is \"some\"", "'joint'");
        Files.writeString(manifest, good.replaceFirst("\"kind\"", "\"head\": 1, \"kind\""));
        assertInvalid(() -> DictionaryFiles.read(folder), "head is 1", "coded together");
        Files.writeString(manifest, good.replaceFirst("\"kv_heads\" : 2", "\"kv_heads\" : 3"));
        assertInvalid(() -> DictionaryFiles.read(folder), "layer.00.key.joint", "10", "15");
    }

    @Test
    void jointAndOtherDictionariesMakeNoSet() {
        Dictionary joint = open(random(Site.joint(0, VectorKind.KEY), 1));
        Dictionary shared = open(random(Site.of(0, VectorKind.VALUE), 1));
        assertInvalid(
                () -> new DictionarySet(List.of(joint, shared)), "layer.00.key.joint", "layer.00.value", "or none");
        assertInvalid(
                () -> new DictionarySet(List.of(shared, joint)), "layer.00.key.joint", "layer.00.value", "or none");
    }

    @Test
    void theFolderOfASiteIsInSaeLensLayout() throws IOException {
        Path folder = temporary.resolve("set");
        DictionarySet set = set();
        DictionaryFiles.write(folder, set, MANIFEST, 4, DType.F32);
        String config = Files.readString(folder.resolve("layer.01.key/cfg.json"));
        assertThat(config.replaceAll("\\s", ""))
                .contains(
                        "\"architecture\":\"topk\"",
                        "\"d_in\":5",
                        "\"d_sae\":7",
                        "\"k\":4",
                        "\"dtype\":\"float32\"",
                        "\"hook_name\":\"blocks.1.attn.hook_rot_k\"",
                        "\"apply_b_dec_to_input\":true");
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("layer.01.key/sae_weights.safetensors"))) {
            assertThat(file.names()).containsExactlyInAnyOrder("W_enc", "W_dec", "b_enc", "b_dec");
            assertThat(file.tensor("W_enc").shape()).containsExactly(D, M);
            float encoder = file.tensor("W_enc").data().getAtIndex(JAVA_FLOAT.withByteAlignment(1), 2 * M + 3);
            assertThat(encoder)
                    .isEqualTo(set.of(1, VectorKind.KEY, 0).encoderWeights().getAtIndex(JAVA_FLOAT, 3 * D + 2));
        }
    }

    @Test
    void aSetIsReplacedAndOtherFoldersAreNotTouched() throws IOException {
        Path folder = temporary.resolve("set");
        DictionaryFiles.write(folder, set(), MANIFEST, 4, DType.F32);
        DictionaryFiles.write(folder, open(new DictionarySet(List.of(random(KEY, 9)))), MANIFEST, 4, DType.F32);
        assertThat(open(DictionaryFiles.read(folder)).bySite()).hasSize(1);
        assertThat(folder.resolve("layer.00.value")).doesNotExist();
        try (var files = Files.list(temporary)) {
            assertThat(files).containsExactly(folder);
        }
        Path other = temporary.resolve("other");
        Files.createDirectory(other);
        Files.writeString(other.resolve("precious"), "x");
        assertInvalid(
                () -> DictionaryFiles.write(other, set(), MANIFEST, 4, DType.F32), "other", "holds no dictionaries");
        assertThat(other.resolve("precious")).exists();
    }

    @Test
    void weightsThatSixteenBitsCannotHoldAreRefusedAndNothingIsLeft() throws IOException {
        DictionarySet set = set();
        set.bySite().get(KEY).encoderBias().setAtIndex(JAVA_FLOAT, 2, 70_000f);
        assertInvalid(
                () -> DictionaryFiles.write(temporary.resolve("set"), set, MANIFEST, 4, DType.F16),
                "70000",
                "store the dictionary as F32");
        try (var files = Files.list(temporary)) {
            assertThat(files).isEmpty();
        }
    }

    @Test
    void anotherModelsDictionariesAreRefused() {
        Path folder = temporary.resolve("set");
        DictionaryFiles.write(folder, set(), MANIFEST, 4, DType.F32);
        assertInvalid(
                () -> DictionaryFiles.read(folder, "big", "xyz", D),
                "dictionaries.json",
                "'tiny'",
                "abc",
                "'big'",
                "xyz",
                "sparrow train");
        assertInvalid(() -> DictionaryFiles.read(folder, "big", "abc", 64), "d_head is 5", "64");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "\"version\" : 1 | \"version\" : 2 | version is 2",
                "\"sparrow-kv-dictionaries\" | \"zip\" | format is \"zip\"",
                "\"rope\" : \"post\" | \"rope\" : \"mid\" | rope is \"mid\"",
                "\"d_head\" : 5 | \"d_head\" : 6 | d_in is 5",
                "\"latents\" : 7 | \"latents\" : 8 | latents is 8",
                "\"layer\" : 1 | \"layer\" : 9 | layer is 9",
                "\"kind\" : \"key\" | \"kind\" : \"query\" | kind is \"query\"",
                "\"rope\" : \"post\" | \"rope\" : \"pre\" | fingerprint is",
                "\"fingerprint\" : \"abc\" | \"name_\" : 1 | model.fingerprint is missing",
                "\"format\" | 3 format | is not JSON",
            })
    void aManifestThatDoesNotHoldIsRefusedByField(String from, String to, String expected) throws IOException {
        Path folder = temporary.resolve("set");
        DictionaryFiles.write(folder, set(), MANIFEST, 4, DType.F32);
        Path manifest = folder.resolve("dictionaries.json");
        String text = Files.readString(manifest);
        assertThat(text).contains(from);
        Files.writeString(manifest, text.replaceFirst(Pattern.quote(from), to));
        assertInvalid(() -> DictionaryFiles.read(folder), expected);
    }

    @Test
    void missingTruncatedExchangedAndBrokenFilesAreRefused() throws IOException {
        Path folder = temporary.resolve("set");
        DictionaryFiles.write(folder, set(), MANIFEST, 4, DType.F32);
        Path key = folder.resolve("layer.01.key/sae_weights.safetensors");
        Path value = folder.resolve("layer.00.value/sae_weights.safetensors");
        byte[] good = Files.readAllBytes(key);

        Files.write(key, Files.readAllBytes(value));
        assertInvalid(() -> DictionaryFiles.read(folder), "fingerprint is", "copy the whole folder again");
        Files.write(key, Arrays.copyOf(good, good.length - 9));
        assertInvalid(() -> DictionaryFiles.read(folder), "sae_weights.safetensors", "truncated");
        byte[] broken = good.clone();
        for (int i = 1; i <= 4; i++) {
            broken[good.length - i] = (byte) 0xff;
        }
        Files.write(key, broken);
        assertInvalid(() -> DictionaryFiles.read(folder), "sae_weights.safetensors", "NaN");
        Files.delete(key);
        assertInvalid(() -> DictionaryFiles.read(folder), "layer.01.key", "no such file");
        assertInvalid(() -> DictionaryFiles.read(temporary), "dictionaries.json");
    }

    @Test
    void sparsifysLayoutIsImported() throws IOException {
        Dictionary dictionary = random(KEY, 3);
        Path folder = temporary.resolve("layers.1");
        new SafetensorsWriter()
                .add("encoder.weight", DType.F32, new long[] {M, D}, dictionary.encoderWeights())
                .add("encoder.bias", DType.F32, new long[] {M}, dictionary.encoderBias())
                .add("W_dec", DType.F32, new long[] {M, D}, dictionary.decoderWeights())
                .add("b_dec", DType.F32, new long[] {D}, dictionary.decoderBias())
                .write(folder.resolve("sae.safetensors"));
        Path config = folder.resolve("cfg.json");
        Files.writeString(
                config, "{\"activation\": \"topk\", \"num_latents\": 7, \"k\": 4, \"d_in\": 5, \"multi_topk\": true}");
        assertSameCodes(dictionary, open(DictionaryFolder.read(folder, KEY, RopeStage.POST)));

        Files.writeString(config, "{\"activation\": \"groupmax\", \"num_latents\": 7, \"d_in\": 5}");
        assertInvalid(() -> DictionaryFolder.read(folder, KEY, RopeStage.POST), "activation is \"groupmax\"");
        Files.writeString(config, "{\"num_latents\": 7, \"d_in\": 5, \"skip_connection\": true}");
        assertInvalid(() -> DictionaryFolder.read(folder, KEY, RopeStage.POST), "skip_connection is true");
        Files.writeString(config, "{\"num_latents\": 0, \"expansion_factor\": 2, \"d_in\": 5}");
        assertInvalid(() -> DictionaryFolder.read(folder, KEY, RopeStage.POST), "'encoder.weight'", "[10, 5]");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "\"architecture\":\"topk\"",
                "\"architecture\":\"standard\",\"activation_fn_str\":\"topk\",\"activation_fn_kwargs\":{\"k\":4}",
                "\"architecture\":\"topk\",\"apply_b_dec_to_input\":false",
                "\"architecture\":\"topk\",\"rescale_acts_by_decoder_norm\":true",
            })
    void saeLensDictionariesGiveTheCodesThatTheirConfigurationMeans(String fields) throws IOException {
        Dictionary dictionary = random(KEY, 3);
        DictionaryFolder.write(temporary, dictionary, 4, DType.F32, "tiny");
        Files.writeString(temporary.resolve("cfg.json"), "{\"d_in\":5,\"d_sae\":7," + fields + "}");
        Dictionary read = open(DictionaryFolder.read(temporary, KEY, RopeStage.POST));
        boolean centred = !fields.contains("false");
        boolean rescaled = fields.contains("rescale");
        Random random = new Random(1);
        for (int trial = 0; trial < 50; trial++) {
            float[] x = new float[D];
            for (int i = 0; i < D; i++) {
                x[i] = (float) random.nextGaussian();
            }
            float[] expected = decode(dictionary, x, centred, rescaled);
            float[] found = decode(read, x, true, false);
            for (int i = 0; i < D; i++) {
                assertThat(found[i]).isCloseTo(expected[i], within(1e-4f));
            }
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "\"architecture\":\"jumprelu\" | architecture is \"jumprelu\"",
                "\"architecture\":\"standard\" | architecture is \"standard\"",
                "\"architecture\":\"topk\",\"normalize_activations\":\"layer_norm\" | normalize_activations is \"layer_norm\"",
            })
    void saeLensDictionariesOfOtherKindsAreRefused(String fields, String expected) throws IOException {
        DictionaryFolder.write(temporary, random(KEY, 3), 4, DType.F32, "tiny");
        Files.writeString(temporary.resolve("cfg.json"), "{\"d_in\":5,\"d_sae\":7," + fields + "}");
        assertInvalid(() -> DictionaryFolder.read(temporary, KEY, RopeStage.POST), "cfg.json", expected);
    }

    /** Σ z d + b_dec over the three largest, written from SAELens' definition. */
    private static float[] decode(Dictionary d, float[] x, boolean centred, boolean rescaled) {
        double[] z = new double[M];
        double[] lengths = new double[M];
        for (int m = 0; m < M; m++) {
            for (int i = 0; i < D; i++) {
                double weight = d.decoderWeights().getAtIndex(JAVA_FLOAT, (long) m * D + i);
                lengths[m] += weight * weight;
            }
            lengths[m] = rescaled ? Math.sqrt(lengths[m]) : 1;
            z[m] = d.encoderBias().getAtIndex(JAVA_FLOAT, m);
            for (int i = 0; i < D; i++) {
                double centre = centred ? d.decoderBias().getAtIndex(JAVA_FLOAT, i) : 0;
                z[m] += d.encoderWeights().getAtIndex(JAVA_FLOAT, (long) m * D + i) * (x[i] - centre);
            }
            z[m] = Math.max(0, z[m] * lengths[m]);
        }
        float[] decoded = floats(d.decoderBias());
        IntStream.range(0, M)
                .boxed()
                .sorted(Comparator.comparingDouble(m -> -z[m]))
                .limit(3)
                .forEach(m -> {
                    for (int i = 0; i < D; i++) {
                        decoded[i] += (float)
                                (z[m] / lengths[m] * d.decoderWeights().getAtIndex(JAVA_FLOAT, (long) m * D + i));
                    }
                });
        return decoded;
    }

    private void assertSameCodes(Dictionary expected, Dictionary found) {
        try (Arena arena = Arena.ofConfined();
                CodeBatch a = CodeBatch.allocate(20, 3);
                CodeBatch b = CodeBatch.allocate(20, 3)) {
            MemorySegment vectors = arena.allocate(20L * D * Float.BYTES, 64);
            fill(vectors, new Random(4));
            new ScalarTopKEncoder(expected).encode(vectors, 20, 3, a);
            new ScalarTopKEncoder(found).encode(vectors, 20, 3, b);
            assertThat(a.indices().mismatch(b.indices())).isEqualTo(-1);
            assertThat(a.coefficients().mismatch(b.coefficients())).isEqualTo(-1);
        }
    }

    private static void assertInvalid(ThrowingCallable call, String... parts) {
        assertThatThrownBy(call)
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll(parts)
                .message()
                .doesNotContain("\n");
    }

    private DictionarySet set() {
        return open(new DictionarySet(List.of(
                random(KEY, 1), random(Site.of(0, VectorKind.VALUE), 2), random(new Site(2, VectorKind.VALUE, 1), 3))));
    }

    private static Dictionary random(Site site, long seed) {
        RopeStage rope = site.kind() == VectorKind.KEY ? RopeStage.POST : RopeStage.PRE;
        Dictionary dictionary = Dictionary.allocate(site, rope, D, M);
        Random random = new Random(seed);
        fill(dictionary.encoderWeights(), random);
        fill(dictionary.decoderWeights(), random);
        fill(dictionary.encoderBias(), random);
        fill(dictionary.decoderBias(), random);
        return dictionary;
    }

    private static void fill(MemorySegment weights, Random random) {
        for (long i = 0; i < weights.byteSize() / Float.BYTES; i++) {
            weights.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
        }
    }

    private static float[] floats(MemorySegment weights) {
        return weights.toArray(JAVA_FLOAT);
    }

    private static float[] rounded(MemorySegment weights, DType dtype) {
        float[] values = floats(weights);
        for (int i = 0; i < values.length && dtype == DType.F16; i++) {
            values[i] = Float.float16ToFloat(Float.floatToFloat16(values[i]));
        }
        return values;
    }

    private <T extends AutoCloseable> T open(T resource) {
        opened.add(resource);
        return resource;
    }
}
