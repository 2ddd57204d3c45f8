// Runs exchanges through Debian's libmodsecurity 3 for the differential tests: `exchange <rules file>`.
//
// On standard input, for each exchange, texts with their lengths (u32, little-endian) before them: method, target, protocol without `HTTP/`, number of request
// fields, names and values in turn, request body, status, number of response fields, names and values in turn, response body. An empty number of bytes ends.
// On standard output, for each: one text, the ids of the rules that logged, in order, separated by spaces.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <modsecurity/modsecurity.h>
#include <modsecurity/rule_message.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

static bool readText(std::string *out) {
  uint32_t n = 0;
  if (fread(&n, 4, 1, stdin) != 1) return false;
  out->resize(n);
  return n == 0 || fread(&(*out)[0], 1, n, stdin) == n;
}

using Fields = std::vector<std::pair<std::string, std::string>>;

static bool readFields(Fields *out) {
  std::string count, name, value;
  if (!readText(&count)) return false;
  out->clear();
  for (int i = atoi(count.c_str()); i > 0; i--) {
    if (!readText(&name) || !readText(&value)) return false;
    out->emplace_back(name, value);
  }
  return true;
}

static const unsigned char *bytes(const std::string &text) { return reinterpret_cast<const unsigned char *>(text.data()); }

static std::string logged;

static void onLog(void *, const void *message) {
  auto rule = static_cast<const modsecurity::RuleMessage *>(message);
  logged += std::to_string(rule->m_rule->m_ruleId) + " ";
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  modsecurity::ModSecurity engine;
  engine.setServerLogCb(onLog, modsecurity::RuleMessageLogProperty);
  modsecurity::RulesSet rules;
  if (rules.loadFromUri(argv[1]) < 0) {
    fprintf(stderr, "%s\n", rules.m_parserError.str().c_str());
    return 1;
  }
  std::string method, target, protocol, body, status, answer;
  Fields fields, answerFields;
  while (readText(&method)) {
    if (!readText(&target) || !readText(&protocol) || !readFields(&fields) || !readText(&body) || !readText(&status) || !readFields(&answerFields) || !readText(&answer))
      return 3;
    logged.clear();
    {
      modsecurity::Transaction t(&engine, &rules, nullptr);
      t.processConnection("127.0.0.1", 40000, "127.0.0.1", 80);
      t.processURI(target.c_str(), method.c_str(), protocol.c_str());
      for (auto &f : fields) t.addRequestHeader(bytes(f.first), f.first.size(), bytes(f.second), f.second.size());
      t.processRequestHeaders();
      t.appendRequestBody(bytes(body), body.size());
      t.processRequestBody();
      for (auto &f : answerFields) t.addResponseHeader(bytes(f.first), f.first.size(), bytes(f.second), f.second.size());
      t.processResponseHeaders(atoi(status.c_str()), "HTTP/1.1");
      t.appendResponseBody(bytes(answer), answer.size());
      t.processResponseBody();
      t.processLogging();
    }
    uint32_t n = logged.size();
    fwrite(&n, 4, 1, stdout);
    fwrite(logged.data(), 1, n, stdout);
    fflush(stdout);
  }
  return 0;
}
