// Overloaded: lambdas as one visitor for std::visit.
#pragma once

namespace mvr {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace mvr
