#include "support/catch.hpp"

#include <nlohmann/json.hpp>

#include "common/rows.hpp"
#include "llama_support.hpp"

using llama_test::mentions;
using llama_test::refusal;

#ifdef EXAMPLES_HAS_CSV

TEST_CASE("CSV: quotes, commas and line feeds in fields, any line ends, blanks kept, other fields ignored") {
  const llama_test::scratch_directory folder;
  const std::string text =
      "id,instruction,output,input,answer\r\n1,\"a, \"\"b\"\"\nc\", two ,,3\n\n2,gr\xC3\xBC\xC3\x9F,\"\",x,\n";
  for (const std::string& begin : {std::string(), std::string("\xEF\xBB\xBF")}) {
    for (const char* const name : {"a.csv", "a.CSV"}) {
      const auto rows = examples::read_task_rows(folder.write(name, begin + text));
      REQUIRE(rows.size() == 2);
      CHECK(rows[0].instruction == "a, \"b\"\nc");
      CHECK(rows[0].output == " two ");
      CHECK(rows[0].input.empty());
      CHECK(rows[0].answer == "3");
      CHECK(rows[1].instruction == "gr\xC3\xBC\xC3\x9F");
      CHECK(rows[1].input == "x");
    }
  }
  // The last line may lack its end.
  CHECK(examples::read_task_rows(folder.write("b.csv", "instruction,output\na,b")).front().output == "b");
}

TEST_CASE("CSV: rows across the pieces that are read at a time") {
  const llama_test::scratch_directory folder;
  std::string text = "instruction,output\n";
  for (int i = 0; i < 5000; ++i) text += "\"question, number\n" + std::to_string(i) + "\"," + std::to_string(i) + "\n";
  text += "long," + std::string(200000, 'x') + "\n";
  const auto rows = examples::read_task_rows(folder.write("a.csv", text));
  REQUIRE(rows.size() == 5001);
  CHECK(rows[4999].instruction == "question, number\n4999");
  CHECK(rows[4999].output == "4999");
  CHECK(rows[5000].output.size() == 200000);
}

TEST_CASE("CSV: what is wrong is refused with its row") {
  const llama_test::scratch_directory folder;
  const auto refused = [&](const std::string& text, const std::string& part) {
    const std::string message = refusal([&] { examples::read_task_rows(folder.write("a.csv", text)); });
    CAPTURE(message, part);
    CHECK(mentions(message, "a.csv: " + part));
  };
  const std::string names = "instruction,output\n";
  refused(names + "a,b\nc\n", "row 1: the number of fields is 1, of names in the first line 2");
  refused(names + "a,b,c\n", "row 0: the number of fields is 3");
  refused(names + "a,b\n\"c\"d,e\n", "row 1: a quote is out of place");
  refused(names + "a,\"b\n", "row 0: a quote is out of place");
  refused("instruction,\n", "the first line has no name for field 1");
  refused("output,output\n", "the first line has the name \"output\" twice");
  refused("question;output\na;b\n", "row 0: field \"instruction\" is missing; it has \"question;output\"");
  refused(names + ",b\n", "row 0: field \"instruction\" is empty");
  refused(names, "has no rows");
  refused("", "has no rows");
  refused(std::string("a\0b", 3), "has a zero byte at offset 1");
}

#else

TEST_CASE("CSV is refused by name where the program was built without libcsv") {
  const llama_test::scratch_directory folder;
  const std::string message =
      refusal([&] { examples::read_task_rows(folder.write("a.csv", "instruction,output\na,b\n")); });
  CHECK(mentions(message, "libcsv-dev"));
}

#endif
