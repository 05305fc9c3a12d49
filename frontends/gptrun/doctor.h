// gptrun doctor: what this machine and this build have, and what the machine can do.
#ifndef GPTC_FRONTENDS_GPTRUN_DOCTOR_H_
#define GPTC_FRONTENDS_GPTRUN_DOCTOR_H_

#include <memory>

#include "frontends/common/command.h"

namespace gptc {

std::unique_ptr<Subcommand> MakeDoctorCommand();

}  // namespace gptc

#endif  // GPTC_FRONTENDS_GPTRUN_DOCTOR_H_
