// Asks Debian's libmodsecurity 3 what it makes of transformations, rules and bodies, for the differential tests.
//
// Frames on standard input: one byte of command, then two texts, each with its length (u32, little-endian) before it.
// Answers on standard output: one text with its length before it.
//   T name value         the transformed value
//   R rules ""           loads rules; the answer is empty, or what is wrong with them
//   H header-value ""    runs a request with the header `x`; the answer is the ids of matching rules in order, separated by spaces
//   B content-type body  reads a body; the answer is texts with their lengths: collection, key, value, and so on;
//                        the collection `logdata` has the rules that matched with what they log
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <modsecurity/actions/action.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rule_message.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

namespace modsecurity::actions::transformations {
// Only what is called: the library's header is not installed.
class Transformation : public Action {
 public:
  static Transformation *instantiate(std::string name);
};
}  // namespace modsecurity::actions::transformations

using modsecurity::Transaction;
using modsecurity::actions::transformations::Transformation;

static bool readText(std::string *out) {
  uint32_t n = 0;
  if (fread(&n, 4, 1, stdin) != 1) return false;
  out->resize(n);
  return n == 0 || fread(&(*out)[0], 1, n, stdin) == n;
}

static void append(std::string *out, const std::string &text) {
  uint32_t n = text.size();
  out->append(reinterpret_cast<const char *>(&n), 4);
  out->append(text);
}

static void answer(const std::string &text) {
  std::string frame;
  append(&frame, text);
  fwrite(frame.data(), 1, frame.size(), stdout);
  fflush(stdout);
}

static std::string matched;
static std::vector<std::pair<std::string, std::string>> logged;

static void onLog(void *, const void *message) {
  auto rule = static_cast<const modsecurity::RuleMessage *>(message);
  matched += std::to_string(rule->m_rule->m_ruleId) + " ";
  logged.emplace_back(std::to_string(rule->m_rule->m_ruleId), rule->m_data);
}

static void head(Transaction *t, const std::string &type, size_t length, const std::string &x) {
  t->processConnection("192.0.2.1", 4000, "192.0.2.2", 80);
  t->processURI("/form", "POST", "1.1");
  t->addRequestHeader("Host", "example.com");
  if (!type.empty()) t->addRequestHeader("Content-Type", type);
  t->addRequestHeader("Content-Length", std::to_string(length));
  t->addRequestHeader(reinterpret_cast<const unsigned char *>("x"), 1, reinterpret_cast<const unsigned char *>(x.data()), x.size());
  t->processRequestHeaders();
}

static std::string body(modsecurity::ModSecurity *engine, modsecurity::RulesSet *rules, const std::string &type, const std::string &content) {
  logged.clear();
  Transaction t(engine, rules, nullptr);
  head(&t, type, content.size(), "");
  t.appendRequestBody(reinterpret_cast<const unsigned char *>(content.data()), content.size());
  t.processRequestBody();
  std::string out;
  auto many = [&out](const char *name, modsecurity::AnchoredSetVariable &v) {
    std::vector<const modsecurity::VariableValue *> list;
    v.resolve(&list);
    for (auto e : list) {
      append(&out, name);
      append(&out, e->getKey());
      append(&out, e->getValue());
      delete e;
    }
  };
  many("ARGS", t.m_variableArgs);
  many("ARGS_POST", t.m_variableArgsPost);
  many("FILES", t.m_variableFiles);
  many("FILES_NAMES", t.m_variableFilesNames);
  many("FILES_SIZES", t.m_variableFilesSizes);
  many("MULTIPART_NAME", t.m_variableMultipartName);
  many("MULTIPART_FILENAME", t.m_variableMultipartFileName);
  many("MULTIPART_PART_HEADERS", t.m_variableMultipartPartHeaders);
  auto one = [&out](const char *name, modsecurity::AnchoredVariable &v) {
    append(&out, name);
    append(&out, "");
    append(&out, v.m_value);
  };
  one("REQBODY_ERROR", t.m_variableReqbodyError);
  one("REQBODY_ERROR_MSG", t.m_variableReqbodyErrorMsg);
  one("REQBODY_PROCESSOR", t.m_variableReqbodyProcessor);
  one("URLENCODED_ERROR", t.m_variableUrlEncodedError);
  one("MULTIPART_STRICT_ERROR", t.m_variableMultipartStrictError);
  one("MULTIPART_UNMATCHED_BOUNDARY", t.m_variableMultipartUnmatchedBoundary);
  one("MULTIPART_BOUNDARY_QUOTED", t.m_variableMultipartBoundaryQuoted);
  one("MULTIPART_BOUNDARY_WHITESPACE", t.m_variableMultipartBoundaryWhiteSpace);
  one("MULTIPART_CRLF_LF_LINES", t.m_variableMultipartCrlfLFLines);
  one("MULTIPART_DATA_AFTER", t.m_variableMultipartDataAfter);
  one("MULTIPART_DATA_BEFORE", t.m_variableMultipartDataBefore);
  one("MULTIPART_HEADER_FOLDING", t.m_variableMultipartHeaderFolding);
  one("MULTIPART_INVALID_HEADER_FOLDING", t.m_variableMultipartInvalidHeaderFolding);
  one("MULTIPART_INVALID_PART", t.m_variableMultipartInvalidPart);
  one("MULTIPART_INVALID_QUOTING", t.m_variableMultipartInvalidQuoting);
  one("MULTIPART_LF_LINE", t.m_variableMultipartLFLine);
  one("MULTIPART_MISSING_SEMICOLON", t.m_variableMultipartMissingSemicolon);
  for (auto &l : logged) {
    append(&out, "logdata");
    append(&out, l.first);
    append(&out, l.second);
  }
  return out;
}

int main() {
  modsecurity::ModSecurity engine;
  engine.setServerLogCb(onLog, modsecurity::RuleMessageLogProperty);
  std::map<std::string, std::unique_ptr<Transformation>> transformations;
  auto rules = std::make_unique<modsecurity::RulesSet>();
  Transaction empty(&engine, rules.get(), nullptr);
  std::vector<std::unique_ptr<modsecurity::RulesSet>> old;
  for (int command; (command = getchar()) != EOF;) {
    std::string a, b;
    if (!readText(&a) || !readText(&b)) return 1;
    if (command == 'T') {
      auto &t = transformations[a];
      if (!t) t.reset(Transformation::instantiate("t:" + a));
      answer(t->evaluate(b, &empty));
    } else if (command == 'R') {
      // The empty transaction still names the first set.
      old.push_back(std::move(rules));
      rules = std::make_unique<modsecurity::RulesSet>();
      answer(rules->load(a.c_str()) < 0 ? rules->getParserError() : "");
    } else if (command == 'H') {
      matched.clear();
      Transaction t(&engine, rules.get(), nullptr);
      head(&t, "", 0, a);
      t.processRequestBody();
      answer(matched);
    } else if (command == 'B') {
      answer(body(&engine, rules.get(), a, b));
    } else {
      return 1;
    }
  }
  return 0;
}
