"""Users' programs of tests/consumer, with find_package; `conan create` builds and runs them."""

import os

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain


class SboraTest(ConanFile):
    settings = "os", "arch", "compiler", "build_type"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        self.folders.build = self.folders.generators = os.path.join(*[".."] * 4, "build", "conan")

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False
        toolchain.cache_variables["WAY"] = "find_package"
        toolchain.cache_variables["IO"] = True
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        root = os.path.join(self.recipe_folder, *[".."] * 4)
        cmake.configure(build_script_folder=os.path.join(root, "tests", "consumer", "project"))
        cmake.build()

    def test(self):
        for program in ("consumer", "consumer_io"):
            self.run(os.path.join(self.build_folder, program), env="conanrun")
