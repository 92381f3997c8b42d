package io.sparrowkv.llm;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** What the language models may know: core below them, nothing of the command line above. */
@AnalyzeClasses(packages = "io.sparrowkv.llm", importOptions = DoNotIncludeTests.class)
class BordersTest {
    @ArchTest
    static final ArchRule modelsKnowNoCommandLine = noClasses()
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(
                    "picocli..", "me.tongfei..", "io.sparrowkv.cli..", "io.sparrowkv.eval..", "io.sparrowkv.report..");

    @ArchTest
    static final ArchRule aModelKnowsNeitherTokenizerNorWhoDrivesIt = layeredArchitecture()
            .consideringOnlyDependenciesInLayers()
            .withOptionalLayers(true)
            .layer("model")
            .definedBy("io.sparrowkv.llm.model..")
            .layer("tokenizer")
            .definedBy("io.sparrowkv.llm.tokenizer..")
            .layer("capture")
            .definedBy("io.sparrowkv.llm.capture..")
            .layer("gradient")
            .definedBy("io.sparrowkv.llm.gradient..")
            .layer("generate")
            .definedBy("io.sparrowkv.llm.generate..")
            .whereLayer("model")
            .mayNotAccessAnyLayer()
            .whereLayer("capture")
            .mayOnlyBeAccessedByLayers("gradient")
            .whereLayer("gradient")
            .mayNotBeAccessedByAnyLayer()
            .whereLayer("generate")
            .mayNotBeAccessedByAnyLayer()
            .whereLayer("tokenizer")
            .mayOnlyBeAccessedByLayers("capture", "generate");

    @ArchTest
    static final ArchRule packagesFormNoCycles =
            slices().matching("io.sparrowkv.llm.(**)").should().beFreeOfCycles();
}
