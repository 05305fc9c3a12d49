// Conversion of whole arrays between element types, for import and export.
//
// Any of F64, F32, BF16, F16 to any other rounds to nearest even (F64 to the 16-bit types goes through F32). Any type
// to itself is a copy of its bits. Other pairs are InvalidArgument. Neither array needs to be aligned; the two do not
// overlap.
#ifndef GPTC_RUNTIME_FORMATS_CONVERT_H_
#define GPTC_RUNTIME_FORMATS_CONVERT_H_

#include <cstdint>

#include "ir/base/status.h"
#include "runtime/formats/element.h"

namespace gptc {

// target[i] = source[i] for i in [0, count).
Status ConvertElements(ElementType from, const void* source, ElementType to, void* target, int64_t count);

// target[c, r] = source[r, c]; source: [rows, columns], target: [columns, rows], both dense.
Status ConvertTransposed(ElementType from, const void* source, ElementType to, void* target, int64_t rows,
                         int64_t columns);

}  // namespace gptc

#endif  // GPTC_RUNTIME_FORMATS_CONVERT_H_
