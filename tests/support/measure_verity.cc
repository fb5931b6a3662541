// Prints the fs-verity digest of the files named, as the product sees it. Runs
// in a test guest whose kernel has fs-verity.
#include <cstdio>

#include "image/content_file.h"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const absl::StatusOr<vmattest::image::ContentFile> file =
        vmattest::image::OpenContent(argv[i]);
    const std::string said = !file.ok() ? file.status().ToString()
                             : file->verity
                                 ? vmattest::image::ToString(*file->verity)
                                 : "none";
    std::printf("%s %s\n", argv[i], said.c_str());
  }
  return 0;
}
