/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled as C11, pedantically: a Linux module includes this header.
 */
#include "hyp/abi.h"

_Static_assert(HF_CALL(0x21u) == HF_VCPU_PUT, "ids are constants in C");
_Static_assert(HF_NO_GFN > 0, "unsigned");
_Static_assert(HF_EHWPOISON == 133, "Linux's numbers");

const unsigned holdfast_abi_c11_first_call = HF_HOST_SHARE_HYP;
