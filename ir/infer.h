#include "ir/base/infer.h"
