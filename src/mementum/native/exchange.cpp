// Where tensors of Python lie, and whether they are what they were, asked in one pass.
//
// DLPack's exchange functions answer without the headers of torch or Python. The caller
// holds Python's lock.

#include <cstdint>

#include "kernel.h"

namespace mementum {

// A DLTensor, as DLPack 1 lays it out.
struct Described {
  void* data;
  int32_t device_type, device_id, rank;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t* sizes;
  int64_t* strides;
  uint64_t offset;
};

// What tensors were, number after number: written where it is learnt, else compared.
class Forms {
 public:
  Forms(int64_t* at, bool learns) : at_(at), learns_(learns) {}

  bool takes(int64_t number) {
    if (learns_) *at_ = number;
    return *at_++ == number;
  }

 private:
  int64_t* at_;
  const bool learns_;
};

static bool take(Forms& forms, void* type, const Described& t) {
  const int64_t kind = t.code | t.bits << 8 | int64_t(t.lanes) << 16;
  const int64_t place = t.device_type | int64_t(t.device_id) << 32;
  if (!forms.takes(int64_t(type)) || !forms.takes(kind) || !forms.takes(place) ||
      !forms.takes(t.rank))
    return false;
  for (int32_t d = 0; d < t.rank; d++)
    if (!forms.takes(t.sizes[d]) || !forms.takes(t.strides[d])) return false;
  return true;
}

}  // namespace mementum

extern "C" int32_t mementum_locate(const mementum_exchange* how, void* rows, int64_t width,
                                   int64_t count, int32_t learns, int64_t* forms,
                                   int64_t* addresses) {
  mementum::Forms known(forms, learns != 0);
  for (int64_t r = 0; r < width; r++) {
    void* const row = how->item(rows, intptr_t(r));
    for (int64_t i = 0; i < count; i++) {
      void* const tensor = row ? how->item(row, intptr_t(i)) : nullptr;
      mementum::Described found;
      if (!tensor || how->describe(tensor, &found)) {
        how->clear_error();
        return 1;
      }
      void* const type = how->type(tensor);
      how->release(type);
      const int64_t address = int64_t(found.data) + int64_t(found.offset);
      if (!address || !mementum::take(known, type, found)) return 1;
      *addresses++ = address;
    }
  }
  return 0;
}
