// SQLite with owners and Results: just what history needs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace mvr::history {

struct CloseDatabase {
  void operator()(sqlite3* handle) const;
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* handle) const;
};

// One prepared statement on its way from binding to its last row. Binding errors are kept and
// come out of step().
class Statement {
 public:
  // Values are bound in the order of the question marks. `value` must outlive step().
  void bind(std::string_view value);
  void bind(std::int64_t value);
  void bind(std::optional<std::int64_t> value);
  // True: there is a row. False: done.
  Result<bool> step();
  // Columns of the row in their order; a type other than the one asked for is kept as an error.
  std::string text();
  std::int64_t integer();
  std::optional<std::int64_t> optional_integer();
  // The first error of reading the row.
  Result<void> row_error() const;

 private:
  friend class Database;
  Statement(std::unique_ptr<sqlite3_stmt, FinalizeStatement> handle, std::string path)
      : handle_(std::move(handle)), path_(std::move(path)) {}
  void note(int code);
  bool next_column_is(int type);

  std::unique_ptr<sqlite3_stmt, FinalizeStatement> handle_;
  std::string path_;
  int bound_ = 0;
  int column_ = 0;
  int bind_error_ = 0;
  bool wrong_type_ = false;
};

class Database {
 public:
  static Result<Database> open(const std::string& path);
  static Result<Database> open_to_read(const std::string& path);
  [[nodiscard]] const std::string& path() const { return path_; }
  // Statements without parameters and rows of interest; several separated by semicolons.
  Result<void> run(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);

 private:
  static Result<Database> open_with(const std::string& path, int flags);
  Database(std::unique_ptr<sqlite3, CloseDatabase> handle, std::string path)
      : handle_(std::move(handle)), path_(std::move(path)) {}
  std::unique_ptr<sqlite3, CloseDatabase> handle_;
  std::string path_;
};

// Rolls back unless it was committed.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace mvr::history
