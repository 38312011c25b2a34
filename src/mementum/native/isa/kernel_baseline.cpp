#define ISA baseline
#include "kernel.inc"
