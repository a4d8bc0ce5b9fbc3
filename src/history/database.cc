#include "history/database.h"

#include <limits>
#include <utility>

#include <sqlite3.h>

namespace mvr::history {
namespace {

constexpr int kBusyTimeoutMs = 2000;

Errc meaning(int code) {
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_MISMATCH:
      return Errc::invalid;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Errc::busy;
    case SQLITE_FULL:
      return Errc::full;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return Errc::denied;
    case SQLITE_TOOBIG:
      return Errc::too_large;
    default:
      return Errc::io;
  }
}

Error to_error(const std::string& path, int code) {
  std::string what = "history " + path + ": " + sqlite3_errstr(code);
  const Errc errc = meaning(code);
  if (errc == Errc::invalid) {
    what += "; move the file away and restart, mvrunner makes a new one";
  } else if (errc == Errc::busy) {
    what += "; another program holds it";
  } else if (errc == Errc::io || errc == Errc::denied) {
    what += "; check that its directory exists and can be written";
  }
  return Error{errc, std::move(what)};
}

}  // namespace

void CloseDatabase::operator()(sqlite3* handle) const {
  (void)sqlite3_close_v2(handle);  // waits for statements that live longer
}

void FinalizeStatement::operator()(sqlite3_stmt* handle) const {
  (void)sqlite3_finalize(handle);  // repeats the error of the last step
}

void Statement::note(int code) {
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

void Statement::bind(std::string_view value) {
  note(sqlite3_bind_text64(handle_.get(), ++bound_, value.empty() ? "" : value.data(), value.size(),
                           SQLITE_STATIC, SQLITE_UTF8));
}

void Statement::bind(std::int64_t value) {
  note(sqlite3_bind_int64(handle_.get(), ++bound_, value));
}

void Statement::bind(std::optional<std::int64_t> value) {
  if (value) return bind(*value);
  note(sqlite3_bind_null(handle_.get(), ++bound_));
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK) return fail(to_error(path_, bind_error_));
  column_ = 0;
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail(to_error(path_, code));
}

bool Statement::next_column_is(int type) {
  return sqlite3_column_type(handle_.get(), column_) == type;
}

std::string Statement::text() {
  if (!next_column_is(SQLITE_TEXT)) wrong_type_ = true;
  const void* const bytes = sqlite3_column_blob(handle_.get(), column_);
  const int size = sqlite3_column_bytes(handle_.get(), column_++);
  if (bytes == nullptr || size <= 0) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

std::int64_t Statement::integer() {
  if (!next_column_is(SQLITE_INTEGER)) wrong_type_ = true;
  return sqlite3_column_int64(handle_.get(), column_++);
}

std::optional<std::int64_t> Statement::optional_integer() {
  if (!next_column_is(SQLITE_NULL)) return integer();
  ++column_;
  return std::nullopt;
}

Result<void> Statement::row_error() const {
  if (wrong_type_) return fail(to_error(path_, SQLITE_MISMATCH));
  return {};
}

Result<Database> Database::open(const std::string& path) {
  return open_with(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

Result<Database> Database::open_to_read(const std::string& path) {
  return open_with(path, SQLITE_OPEN_READONLY);
}

Result<Database> Database::open_with(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<sqlite3, CloseDatabase> handle(raw);  // there is one even on most errors
  if (code != SQLITE_OK) return fail(to_error(path, code));
  (void)sqlite3_busy_timeout(raw, kBusyTimeoutMs);  // always succeeds
  return Database(std::move(handle), path);
}

Result<void> Database::run(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return fail(to_error(path_, code));
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int code =
      sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> handle(raw);
  if (code != SQLITE_OK) return fail(to_error(path_, code));
  return Statement(std::move(handle), path_);
}

Result<Transaction> Transaction::begin(Database& database) {
  TRY(database.run("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ != nullptr) (void)database_->run("ROLLBACK");  // SQLite may have done it already
}

Result<void> Transaction::commit() {
  TRY(database_->run("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace mvr::history
