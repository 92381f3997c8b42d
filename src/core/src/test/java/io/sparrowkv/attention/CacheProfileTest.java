package io.sparrowkv.attention;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.attention.CacheProfile.Kept;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.VectorKind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CacheProfileTest {
    private static final CacheProfile PROFILE = new CacheProfile(
            "aa",
            "bb",
            Refinement.pursuit(64),
            Coefficients.BITS_6,
            67.25,
            List.of(new Kept(16, 1), new Kept(0, 0), new Kept(8, 0)),
            List.of(new Kept(12, 0), new Kept(24, 2), new Kept(1, 0)));

    @TempDir
    private Path folder;

    @Test
    void isReadAsItWasWritten() {
        Path file = folder.resolve("profile.json");
        PROFILE.write(file);
        assertThat(CacheProfile.read(file)).isEqualTo(PROFILE);
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
        "format_version\" : 2, format_version\" : 1, format_version is 1",
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
}
