/// \file mixer_config.hpp
/// \brief Mixers of any kind: a configuration, and the parameters that belong to it. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/error.hpp>
#include <mamba2/mixer.hpp>
#include <mamba2/parameters.hpp>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mamba2 {

/// \brief What the configuration of a mixer stands for. Whoever adds a mixer specialises this for its configuration:
///
///     template <> struct MixerTraits<Mamba2Config> {
///       static constexpr const char* name = "Mamba2";                         // in messages
///       template <class Real> using Parameters = Mamba2Parameters<Real>;      // a struct with tensors()
///       template <class Real> using Computes = Mamba2Mixer<Real>;             // see MixerOf; made from (config, parameters, keep)
///     };
///
/// Besides, the configuration has a `d_model`, a `check()` and an `==`, and there are a describe() and a state_size() for it.
template <class Config>
struct MixerTraits;

/// \brief The parameters of a mixer of any kind.
template <class Real>
class MixerParameters {
 public:
  /// \brief No parameters.
  MixerParameters() = default;
  /// \brief Those of some kind of mixer. \param set a struct with tensors(), such as Mamba2Parameters
  template <class Set>
  explicit MixerParameters(Set set) : held_(std::make_unique<Holds<Set>>(std::move(set))) {}
  MixerParameters(const MixerParameters& other) : held_(other.held_ ? other.held_->clone() : nullptr) {}
  MixerParameters& operator=(const MixerParameters& other) { return *this = MixerParameters(other); }
  MixerParameters(MixerParameters&&) noexcept = default;
  MixerParameters& operator=(MixerParameters&&) noexcept = default;
  ~MixerParameters() = default;

  /// \brief As what they are. \tparam Set such as Mamba2Parameters<Real> \return a reference \throws ValueError if they are others
  template <class Set>
  Set& as() {
    auto* const held = dynamic_cast<Holds<Set>*>(held_.get());
    require(held != nullptr, "parameters", "those of another kind of mixer", "these");
    return held->set;
  }
  /// \copydoc as()
  template <class Set>
  const Set& as() const {
    return const_cast<MixerParameters&>(*this).as<Set>();
  }
  /// \brief Their numbers. \return a span for each that is there, in the order of a checkpoint
  std::vector<std::span<Real>> spans() { return held_ ? held_->spans() : std::vector<std::span<Real>>(); }
  /// \copydoc spans()
  std::vector<std::span<const Real>> spans() const {
    const auto all = const_cast<MixerParameters&>(*this).spans();
    return {all.begin(), all.end()};
  }

 private:
  struct Held {
    virtual ~Held() = default;
    virtual std::unique_ptr<Held> clone() const = 0;
    virtual std::vector<std::span<Real>> spans() = 0;
  };
  template <class Set>
  struct Holds final : Held {
    explicit Holds(Set s) : set(std::move(s)) {}
    std::unique_ptr<Held> clone() const override { return std::make_unique<Holds>(set); }
    std::vector<std::span<Real>> spans() override { return parameter_spans(set); }
    Set set;
  };
  std::unique_ptr<Held> held_;
};

/// \brief What can be done with the configuration of a mixer, whatever its kind.
class AnyMixerConfig {
 public:
  virtual ~AnyMixerConfig() = default;
  /// \brief What the mixer is called. \return such as "Mamba2"
  virtual const char* name() const = 0;
  /// \brief Width of what comes in and goes out. \return d_model
  virtual std::size_t d_model() const = 0;
  /// \brief Refuse what makes no mixer. \throws ValueError naming the field, what it may be and what it is
  virtual void check() const = 0;
  /// \brief Whether it says the same. \param other another configuration \return true for the same kind with equal options
  virtual bool equals(const AnyMixerConfig& other) const = 0;
  /// \brief What there is to say of its parameters. \return those that are there, in the order of a checkpoint
  virtual std::vector<ParameterInfo> parameters() const = 0;
  /// \brief How many numbers it remembers of a sequence. \return their number
  virtual std::size_t remembered() const = 0;
  /// \brief Parameters of the right shapes, all zero. \param parameters receives them
  virtual void set_zero(MixerParameters<float>& parameters) const = 0;
  /// \copydoc set_zero(MixerParameters<float>&) const
  virtual void set_zero(MixerParameters<double>& parameters) const = 0;
  /// \brief The mixer as it computes.
  /// \param parameters of this kind; they must outlive the mixer, but for those that `keep` has used up
  /// \param keep       how to keep large weights
  /// \return the mixer
  /// \throws ShapeError, ValueError for parameters of other shapes or of another mixer
  virtual std::unique_ptr<Mixer<float>> make(MixerParameters<float>& parameters,
                                             const KeepWeight<float>& keep) const = 0;
  /// \copydoc make(MixerParameters<float>&,const KeepWeight<float>&) const
  virtual std::unique_ptr<Mixer<double>> make(MixerParameters<double>& parameters,
                                              const KeepWeight<double>& keep) const = 0;
};

/// \brief The same, for one kind of configuration.
template <class Config>
class OneMixerConfig final : public AnyMixerConfig {
 public:
  using Traits = MixerTraits<Config>;  ///< what belongs to it
  /// \brief A configuration. \param c options
  explicit OneMixerConfig(const Config& c) : config(c) {}
  const char* name() const override { return Traits::name; }
  std::size_t d_model() const override { return config.d_model; }
  void check() const override { config.check(); }
  bool equals(const AnyMixerConfig& other) const override {
    const auto* const same_kind = dynamic_cast<const OneMixerConfig*>(&other);
    return same_kind != nullptr && same_kind->config == config;
  }
  std::vector<ParameterInfo> parameters() const override { return parameter_list(config); }
  std::size_t remembered() const override { return state_size(config); }
  void set_zero(MixerParameters<float>& p) const override { set(p); }
  void set_zero(MixerParameters<double>& p) const override { set(p); }
  std::unique_ptr<Mixer<float>> make(MixerParameters<float>& p, const KeepWeight<float>& keep) const override {
    return made(p, keep);
  }
  std::unique_ptr<Mixer<double>> make(MixerParameters<double>& p, const KeepWeight<double>& keep) const override {
    return made(p, keep);
  }
  Config config;  ///< the options

 private:
  template <class Real>
  void set(MixerParameters<Real>& p) const {
    typename Traits::template Parameters<Real> zero;
    mamba2::set_zero(config, zero);
    p = MixerParameters<Real>(std::move(zero));
  }
  template <class Real>
  std::unique_ptr<Mixer<Real>> made(MixerParameters<Real>& p, const KeepWeight<Real>& keep) const {
    using Parameters = typename Traits::template Parameters<Real>;
    return std::make_unique<MixerOf<Real, typename Traits::template Computes<Real>>>(config,
                                                                                     p.template as<Parameters>(), keep);
  }
};

/// \brief The configuration of a mixer of any kind; a value, cheap to copy.
class MixerConfig {
 public:
  /// \brief None.
  MixerConfig() = default;
  /// \brief That of some kind of mixer. \param config such as a Mamba2Config
  template <class Config>
    requires requires { MixerTraits<Config>::name; }
  MixerConfig(const Config& config) : held_(std::make_shared<const OneMixerConfig<Config>>(config)) {}

  /// \brief As what it is, if it is that. \tparam Config such as Mamba2Config \return the options; null if it is of another kind
  template <class Config>
  const Config* find() const {
    const auto* const held = dynamic_cast<const OneMixerConfig<Config>*>(held_.get());
    return held == nullptr ? nullptr : &held->config;
  }
  /// \brief As what it is. \tparam Config such as Mamba2Config \return the options \throws ValueError if it is of another kind
  template <class Config>
  const Config& as() const {
    const Config* const config = find<Config>();
    require(config != nullptr, "mixer", MixerTraits<Config>::name, held_ ? held_->name() : "none");
    return *config;
  }
  /// \brief To change it: a copy of its own that other configurations do not share. \tparam Config such as Mamba2Config
  /// \return the options \throws ValueError if it is of another kind
  template <class Config>
  Config& edit() {
    const auto own = std::make_shared<OneMixerConfig<Config>>(as<Config>());
    held_ = own;
    return own->config;
  }
  /// \brief Whether it says the same. \param other another configuration \return true for the same kind with equal options
  bool operator==(const MixerConfig& other) const {
    return held_ == other.held_ || (held_ && other.held_ && held_->equals(*other.held_));
  }
  /// \brief What can be done with it. \return a reference \throws ValueError for none
  const AnyMixerConfig& operator*() const {
    require(held_ != nullptr, "mixer", "a configuration", "none");
    return *held_;
  }
  /// \copydoc operator*()
  const AnyMixerConfig* operator->() const { return &**this; }

 private:
  std::shared_ptr<const AnyMixerConfig> held_;
};

}  // namespace mamba2
