import { defineConfig } from 'vitest/config'

// Forked processes only: the foreign function package crashes worker threads at their end.
const project = (name: string, parallel: boolean, globalSetup: readonly string[] = []) => ({
  extends: true as const,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    fileParallelism: parallel,
    globalSetup: [...globalSetup],
  },
})

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // One second, the default, is less than a busy machine takes to start a process.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      project('unit', true),
      project('scenario', true),
      project('bpf', false),
      project('net', false),
      project('interop', false, ['test/interop/setup.ts']),
    ],
  },
})
