/**
 * A wall clock that tests set, for a real process: a library that stands before libc's (LD_PRELOAD) and adds an offset, which lies in a mapped file, to what the
 * system says. The monotonic clock is left alone, as by whoever sets a machine's time.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static int (*real_clock)(clockid_t, struct timespec *);
static volatile int64_t *offset_s;

__attribute__((constructor)) static void begin(void) {
  real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  const char *file = getenv("CNX_TEST_CLOCK");
  int fd = file == NULL ? -1 : open(file, O_RDONLY | O_CLOEXEC);
  void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) offset_s = at;
}

int clock_gettime(clockid_t id, struct timespec *t) {
  if (real_clock == NULL) begin();
  int said = real_clock(id, t);
  if (said == 0 && offset_s != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += *offset_s;
  return said;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *t) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  if (t != NULL) *t = now.tv_sec;
  return now.tv_sec;
}
`;

export class WallClock {
  readonly #directory: string;
  readonly #fd: number;
  /** Environment of the process whose clock it is. */
  readonly env: Readonly<Record<string, string>>;

  /** Needs a C compiler, as the addon does. */
  constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'cnx-clock-'));
    const [source, library, offset] = ['clock.c', 'clock.so', 'offset'].map((name) => join(this.#directory, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(source, SOURCE);
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
    writeFileSync(offset, Buffer.alloc(8));
    this.#fd = openSync(offset, 'r+');
    this.env = { LD_PRELOAD: library, CNX_TEST_CLOCK: offset };
  }

  /** From now on the clock is so many seconds ahead of the machine's (negative: behind). */
  set(seconds: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    writeSync(this.#fd, bytes, 0, bytes.length, 0);
  }

  end(): void {
    closeSync(this.#fd);
    rmSync(this.#directory, { recursive: true });
  }
}
