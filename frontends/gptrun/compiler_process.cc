#include "frontends/gptrun/compiler_process.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>

#include "frontends/common/terminal.h"
#include "runtime/formats/files.h"
#include "runtime/formats/hf_config.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/run_directory.h"

namespace gptc {
namespace {

StatusOr<std::string> Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return ErrnoStatus(error.value(), "find", path);
  return absolute.string();
}

Status StatusOfExit(const std::string& program, int wait_status) {
  const std::string name = std::filesystem::path(program).filename().string();
  if (WIFSIGNALED(wait_status)) return Failure(name, " was ended by signal ", WTERMSIG(wait_status));
  const std::string message = Cat(name, " ended with ", WEXITSTATUS(wait_status), "; what it says is above");
  switch (WEXITSTATUS(wait_status)) {
    case 0:
      return OkStatus();
    case 3:
      return InvalidArgument(message);
    case 4:
      return OutOfMemory(message);
    case 130:
      return absl::CancelledError(message);
    default:
      return Failure(message);  // a usage error too: the words are ours
  }
}

// What posix_spawn asks for, released at the end.
class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

}  // namespace

StatusOr<std::string> CompilerBeside() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return Failure("cannot find out where this program lies: ", error.message());
  const std::string compiler = (self.parent_path() / "gptc").string();
  if (access(compiler.c_str(), X_OK) == 0) return compiler;
  return FailedPrecondition("a plan must be compiled, and there is no gptc at '", compiler,
                            "'; keep gptc and gptrun in one folder");
}

Status RunProgramAndWait(const std::string& program, const std::vector<std::string>& words, const std::string& folder) {
  std::vector<std::string> copies = {program};
  copies.insert(copies.end(), words.begin(), words.end());
  std::vector<char*> arguments;
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  FileActions actions;
  posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", 0, 0);
  posix_spawn_file_actions_adddup2(actions.get(), STDERR_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_addchdir_np(actions.get(), folder.c_str());
  pid_t child = 0;
  if (int failed = posix_spawn(&child, program.c_str(), actions.get(), nullptr, arguments.data(), environ);
      failed != 0) {
    return ErrnoStatus(failed, "run", program);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "wait for", program);
  }
  return StatusOfExit(program, status);
}

Status CompilePlanFrom(const std::string& model, const std::vector<std::string>& settings, const std::string& plan) {
  ASSIGN_OR_RETURN(const std::string compiler, CompilerBeside());
  ASSIGN_OR_RETURN(const std::string source, Absolute(model));
  ASSIGN_OR_RETURN(const HfConfig config, ReadHfConfig(JoinPath(source, "config.json")));
  Log(Cat("compiling a plan with gptc: gpt2 of '", model, "', one sequence of ", config.context, " tokens, f32"));

  ASSIGN_OR_RETURN(const std::string work, Absolute(Cat(plan, ".tmp-", getpid())));
  RETURN_IF_ERROR(MakeDirectories(work));
  std::vector<std::string> write_model = {"model", "gpt2", "--quiet", "--from", source, "-o", "gpt2.graph"};
  for (const std::string& setting : settings) write_model.insert(write_model.end(), {"--set", setting});
  const std::vector<std::string> compile = {"compile",           "gpt2.graph",  "--quiet", "-o",
                                            "plan.fb",           "--batch",     "1",       "--seq",
                                            Cat(config.context), "--precision", "f32"};
  Status status = RunProgramAndWait(compiler, write_model, work);
  if (status.ok()) status = RunProgramAndWait(compiler, compile, work);
  if (status.ok()) status = RenamePath(JoinPath(work, "plan.fb"), plan);
  const Status removed = RemoveAll(work);
  if (!status.ok()) return Annotate(status, Cat("no plan for '", model, "'"));
  return removed;
}

Status EnsurePlan(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string run, RunOf(path));
  const std::string plan = JoinPath(run, kPlanFile);
  if (IsRegularFile(plan)) return OkStatus();
  ASSIGN_OR_RETURN(const std::optional<std::string> checkpoint, LatestCheckpoint(run));
  if (!checkpoint) return NotFound("the run '", run, "' has no checkpoint yet");
  return CompilePlanFrom(*checkpoint, {}, plan);
}

}  // namespace gptc
