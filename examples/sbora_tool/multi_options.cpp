#include "multi_options.hpp"

#include "common/option_checks.hpp"

namespace sbora_tool {

namespace {

class multi_command {
 public:
  multi_command(CLI::App& multi, multi_options& into, multi_action action, const char* name, const char* what)
      : app_(multi.add_subcommand(name, what)), into_(into) {
    app_->get_formatter()->column_width(28);
    app_->callback([&into, action] { into.action = action; });
    path("ledger", into.ledger, "the ledger's file", true);
  }

  multi_command& path(const char* name, fs::path& to, const char* what, bool required) {
    CLI::Option* const option = app_->add_option(name, to, what)->type_name("PATH")->check(check_name);
    if (required) option->required();
    return *this;
  }
  multi_command& base() { return path("--base", into_.base, "checkpoint of the base model", true); }
  multi_command& output(const char* what) { return path("--output", into_.output, what, true); }
  multi_command& task() {
    app_->add_option("task", into_.task, "its name")->required()->type_name("NAME")->check(check_name);
    return *this;
  }
  multi_command& tasks(const char* what, bool required) {
    CLI::Option* const option = app_->add_option("tasks", into_.tasks, what)->type_name("NAME");
    if (required) option->required();
    return *this;
  }
  multi_command& force() {
    app_->add_flag("--force", into_.force, "replace the output");
    return *this;
  }
  CLI::App& app() { return *app_; }

 private:
  CLI::App* app_;
  multi_options& into_;
};

}  // namespace

void add_multi(CLI::App& app, multi_options& into) {
  CLI::App* const multi =
      app.add_subcommand("multi", "Many tasks in one model: who owns which columns and rows, and what is merged.");
  multi->require_subcommand(1);
  const auto command = [&](multi_action action, const char* name, const char* what) {
    return multi_command(*multi, into, action, name, what);
  };
  command(multi_action::init, "init", "Makes the ledger of a base model.")
      .base()
      .app()
      .add_flag("--crossing", into.crossing, "let columns and rows of one module be owned, which cross");

  multi_command claim = command(multi_action::claim, "claim", "Gives a task columns or rows that nobody owns.").task();
  CLI::App& claiming = claim.app();
  claim.path("--adapter", into.adapter, "write a new adapter on them there, to be trained", false);
  claim.path("--of", into.of, "claim the regions of this adapter instead", false);
  claiming.add_option("--modules", into.modules, "ends of names of modules or stacks of experts; default: all")
      ->type_name("NAME")
      ->delimiter(',');
  claiming.add_option("--kind", into.kind, "fa (columns) or fb (rows), default fa")
      ->type_name("KIND")
      ->check(one_of({"fa", "fb"}));
  claiming.add_option("--rank", into.rank, "columns or rows of each module, default 8")
      ->type_name("N")
      ->check(CLI::Range(sbora::index_t{1}, sbora::index_t{1} << 24));
  claiming.add_option("--block", into.block, "in aligned groups of so many")
      ->type_name("N")
      ->check(CLI::Range(sbora::index_t{1}, sbora::index_t{1} << 24));
  claiming.add_option("--alpha", into.alpha, "of the new adapter, default 16")->type_name("X")->check(check_finite);
  claiming.add_option("--seed", into.seed, "of the choice, default 1")->type_name("N")->check(check_seed);

  command(multi_action::release, "release", "Gives back all that a task owns.").task();
  command(multi_action::transfer, "transfer", "Gives all that a task owns to another one, or renames it.")
      .task()
      .app()
      .add_option("to", into.to, "the other's name")
      ->required()
      ->type_name("NAME")
      ->check(check_name);
  command(multi_action::status, "status", "Says who owns what, and what is left.")
      .path("--svg", into.svg, "a picture of it, too", false);
  command(multi_action::merge, "merge", "Writes the base with tasks merged into it; all of them where none is named.")
      .base()
      .output("safetensors file, or of several shards a folder")
      .tasks("which ones", false)
      .force();
  command(multi_action::remove, "remove", "Takes tasks out of a merged model, to the last bit, where it lies.")
      .base()
      .path("--model", into.model, "the merged model", true)
      .tasks("which ones", true);
  command(multi_action::verify, "verify", "Proves that adapters are on their regions, and what a merged model is.")
      .base()
      .path("--model", into.model, "a merged model", false);
  multi_command combine = command(multi_action::combine, "combine", "Makes one adapter of those of several tasks.")
                              .tasks("which ones", true)
                              .output("folder to write")
                              .force();
  combine.app()
      .add_option("--method", into.method, "default linear")
      ->type_name("METHOD")
      ->check(one_of({"linear", "cat", "magnitude_prune", "ties", "dare_linear", "dare_ties"}));
  combine.app().add_option("--weights", into.weights, "one a task, default 1")->type_name("X")->delimiter(',');
  combine.app().add_option("--density", into.density, "what is kept of each")->type_name("X")->check(between(1e-9, 1));
  combine.app().add_option("--seed", into.seed, "of what dare drops")->type_name("N")->check(check_seed);
}

}  // namespace sbora_tool
