package io.sparrowkv.attention;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.attention.CodeProfile.Kept;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CacheProfileTest {
    private static final CodeProfile PROFILE = new CodeProfile(
            "aa",
            "bb",
            Refinement.pursuit(64),
            Coefficients.BITS_6,
            67.25,
            List.of(new Kept(16, 1), new Kept(0, 0), new Kept(8, 0)),
            List.of(new Kept(12, 0), new Kept(24, 2), new Kept(1, 0)));

    private static final QuantizerProfile QUANTIZERS =
            new QuantizerProfile("aa", 43.5, List.of("rotated-2", "f16"), List.of("q4_0", "rotated-1"));

    @TempDir
    private Path folder;

    @Test
    void isReadAsItWasWritten() {
        Path file = folder.resolve("profile.json");
        PROFILE.write(file);
        assertThat(CacheProfile.read(file)).isEqualTo(PROFILE);
        assertThat(CodeProfile.read(file)).isEqualTo(PROFILE);
        QUANTIZERS.write(file);
        assertThat(CacheProfile.read(file)).isEqualTo(QUANTIZERS);
    }

    @Test
    void readsCodesOfVersionTwo() throws Exception {
        Path file = folder.resolve("profile.json");
        PROFILE.write(file);
        String text = Files.readString(file);
        Files.writeString(
                file,
                text.replace("\"format_version\" : 3,", "\"format_version\" : 2,")
                        .replace("\"codec\" : \"sparse\",", ""));
        assertThat(Files.readString(file)).isNotEqualTo(text).doesNotContain("codec");
        assertThat(CacheProfile.read(file)).isEqualTo(PROFILE);
    }

    @Test
    void quantizersAreGivenBySiteAndAreNoCodes() {
        Map<Site, VectorCodec> codecs = QUANTIZERS.codecs(32);
        assertThat(codecs).hasSize(4);
        assertThat(codecs.get(Site.of(0, VectorKind.KEY)).name()).isEqualTo("rotated-2");
        assertThat(codecs.get(Site.of(0, VectorKind.VALUE)).name()).isEqualTo("q4_0");
        assertThat(codecs.get(Site.of(1, VectorKind.KEY)).name()).isEqualTo("f16");
        assertThat(codecs.get(Site.of(1, VectorKind.VALUE)).name()).isEqualTo("rotated-1");
        Path file = folder.resolve("profile.json");
        QUANTIZERS.write(file);
        assertThatThrownBy(() -> CodeProfile.read(file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("profile.json", "quantized", "sparse codes are needed");
        assertThatThrownBy(() -> QUANTIZERS.requireModel(file, "cc"))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("profile.json", "model_fingerprint", "aa", "cc");
    }

    @Test
    void setsBudgetsByLayerAndRefinement() {
        CacheOptions options = PROFILE.applyTo(CacheOptions.defaults());
        assertThat(options.refinement()).isEqualTo(Refinement.pursuit(64));
        assertThat(options.coefficients()).isEqualTo(Coefficients.BITS_6);
        for (int layer = 0; layer < 3; layer++) {
            for (VectorKind kind : VectorKind.values()) {
                Kept kept = (kind == VectorKind.KEY ? PROFILE.keys() : PROFILE.values()).get(layer);
                assertThat(options.read().of(layer, kind)).isEqualTo(kept.pairs());
                assertThat(options.stored().of(layer, kind)).isEqualTo(kept.pairs());
                assertThat(options.residualBits().of(layer, kind)).isEqualTo(kept.residualBits());
            }
        }
    }

    @Test
    void refusesAnotherModelAndOtherDictionaries() {
        Path file = Path.of("profile.json");
        PROFILE.requireFit(file, "aa", "bb");
        assertThatThrownBy(() -> PROFILE.requireFit(file, "cc", "bb"))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("profile.json", "model_fingerprint", "aa", "cc");
        assertThatThrownBy(() -> PROFILE.requireFit(file, "aa", "dd"))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("dictionaries_fingerprint", "bb", "dd");
    }

    @ParameterizedTest
    @CsvSource({
        "format_version\" : 3, format_version\" : 1, format_version is 1",
        "format_version\" : 3, format_version\" : 4, format_version is 4",
        "codec\" : \"sparse, codec\" : \"dense, codec is \"dense\"",
        "pursuit:64, best, refine is \"best\"",
        "coefficients\" : \"6, coefficients\" : \"5, coefficients is \"5\"",
        "key\" : 16, key\" : -1, layers[0].key is -1",
        "value_residual_bits\" : 2, value_residual_bits\" : 5, layers[1].value_residual_bits is 5",
        "\"bytes\" : 67.25, \"bytes\" : \"many\", bytes is \"many\"",
        "model_fingerprint, fingerprint, model_fingerprint is missing"
    })
    void refusesWhatDoesNotFitByFileFieldAndValue(String right, String wrong, String complaint) throws Exception {
        Path file = folder.resolve("profile.json");
        PROFILE.write(file);
        String text = Files.readString(file);
        assertThat(text).contains(right);
        Files.writeString(file, text.replace(right, wrong));
        assertThatThrownBy(() -> CacheProfile.read(file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("profile.json", complaint);
    }

    @ParameterizedTest
    @CsvSource({
        "rotated-2, rotated-5, layers[0].key is \"rotated-5\"",
        "model_fingerprint, fingerprint, model_fingerprint is missing",
        "layers, sites, layers is missing"
    })
    void refusesQuantizersThatAreNone(String right, String wrong, String complaint) throws Exception {
        Path file = folder.resolve("profile.json");
        QUANTIZERS.write(file);
        Files.writeString(file, Files.readString(file).replace(right, wrong));
        assertThatThrownBy(() -> CacheProfile.read(file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("profile.json", complaint);
    }
}
