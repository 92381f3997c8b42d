package io.sparrowkv.cli;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import com.tngtech.archunit.core.importer.Location;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** Commands stand on evaluations, evaluations on reports, and never the other way. */
@AnalyzeClasses(
        packages = "io.sparrowkv",
        importOptions = {DoNotIncludeTests.class, BordersTest.NoTestJars.class})
class BordersTest {
    /** The tests that other modules lend to these come in jars of their own. */
    static final class NoTestJars implements ImportOption {
        @Override
        public boolean includes(Location location) {
            return !location.contains("-tests.jar");
        }
    }

    @ArchTest
    static final ArchRule nothingKnowsTheCommands = noClasses()
            .that()
            .resideOutsideOfPackage("io.sparrowkv.cli..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("io.sparrowkv.cli..", "picocli..");

    @ArchTest
    static final ArchRule reportsKnowNoModelAndNoCache = noClasses()
            .that()
            .resideInAPackage("io.sparrowkv.report..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("io.sparrowkv.eval..", "io.sparrowkv.llm..", "io.sparrowkv.encode..", "ai.djl..");

    @ArchTest
    static final ArchRule packagesFormNoCycles =
            slices().matching("io.sparrowkv.(**)").should().beFreeOfCycles();
}
