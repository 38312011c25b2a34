#define ISA avx512
#include "kernel.inc"
