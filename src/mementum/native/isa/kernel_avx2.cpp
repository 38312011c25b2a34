#define ISA avx2
#include "kernel.inc"
