package io.sparrowkv;

import static com.tngtech.archunit.core.domain.JavaCall.Predicates.target;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.name;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.nameMatching;
import static com.tngtech.archunit.core.domain.properties.HasOwner.Predicates.With.owner;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import jdk.incubator.vector.FloatVector;

/** What core may know, and which of its packages stands on which. */
@AnalyzeClasses(packages = "io.sparrowkv", importOptions = DoNotIncludeTests.class)
class BordersTest {
    @ArchTest
    static final ArchRule coreKnowsNoModelAndNoCommandLine = noClasses()
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(
                    "ai.djl..",
                    "picocli..",
                    "ch.qos.logback..",
                    "me.tongfei..",
                    "io.sparrowkv.llm..",
                    "io.sparrowkv.cli..",
                    "io.sparrowkv.eval..",
                    "io.sparrowkv.report..");

    @ArchTest
    static final ArchRule packagesStandOnEachOtherInOneDirection = layeredArchitecture()
            .consideringOnlyDependenciesInLayers()
            .withOptionalLayers(true)
            .layer("io")
            .definedBy("io.sparrowkv.io..")
            .layer("files")
            .definedBy("io.sparrowkv.concurrent..", "io.sparrowkv.safetensors..")
            .layer("sae")
            .definedBy("io.sparrowkv.sae..")
            .layer("capture")
            .definedBy("io.sparrowkv.capture..")
            .layer("encode")
            .definedBy("io.sparrowkv.encode..")
            .layer("codec")
            .definedBy("io.sparrowkv.codec..")
            .layer("store")
            .definedBy("io.sparrowkv.store..")
            .layer("stream")
            .definedBy("io.sparrowkv.stream..")
            .layer("attention")
            .definedBy("io.sparrowkv.attention..")
            .layer("train")
            .definedBy("io.sparrowkv.train..")
            .whereLayer("io")
            .mayNotAccessAnyLayer()
            .whereLayer("train")
            .mayNotBeAccessedByAnyLayer()
            .whereLayer("attention")
            .mayNotBeAccessedByAnyLayer()
            .whereLayer("stream")
            .mayOnlyBeAccessedByLayers("attention")
            .whereLayer("store")
            .mayOnlyBeAccessedByLayers("stream", "attention")
            .whereLayer("codec")
            .mayOnlyBeAccessedByLayers("store", "stream", "attention")
            .whereLayer("encode")
            .mayOnlyBeAccessedByLayers("codec", "store", "stream", "attention", "train")
            .whereLayer("capture")
            .mayOnlyBeAccessedByLayers("train")
            .whereLayer("sae")
            .mayOnlyBeAccessedByLayers("capture", "encode", "codec", "store", "stream", "attention", "train");

    /** The JIT would compile every store of a vector for two kinds of memory: see RowKernels. */
    @ArchTest
    static final ArchRule floatsAreNotTakenForOtherLanesByTheirBits = noClasses()
            .should()
            .callMethodWhere(target(owner(name(FloatVector.class.getName())))
                    .and(target(nameMatching("reinterpret.*|viewAsIntegralLanes"))));

    @ArchTest
    static final ArchRule packagesFormNoCycles =
            slices().matching("io.sparrowkv.(**)").should().beFreeOfCycles();
}
