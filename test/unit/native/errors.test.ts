import { describe, expect, it } from 'vitest'
import { logTail } from '../../../native/errors.ts'
import { BpfError, errnoName } from '../../../native/index.ts'

describe('BpfError', () => {
  it('says function, errno, subject and what to do', () => {
    const error = new BpfError({ fn: 'bpf_map_create', errno: 1, subject: 'w_svc4_v1' })
    expect(error.message).toBe(
      "bpf_map_create 'w_svc4_v1': EPERM; run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
    )
    expect(error).toMatchObject({ code: 'BPF_EPERM', errno: 1, errnoName: 'EPERM', fn: 'bpf_map_create' })
  })

  it('carries the verifier log, the cause and how far a batch came', () => {
    const cause = new Error('inner')
    const error = new BpfError({ fn: 'f', errno: 7, done: 3, verifierLog: 'R1 invalid', hint: 'h', cause })
    expect(error.message).toBe('f: E2BIG (3 entries done); h\nR1 invalid')
    expect(error.cause).toBe(cause)
  })

  it('without an errno keeps its own code', () => {
    expect(new BpfError({ fn: 'f', code: 'BPF_LAYOUT', reason: 'r' })).toMatchObject({
      code: 'BPF_LAYOUT',
      errnoName: '',
      message: 'f: r',
    })
  })

  it.each([
    [2, 'ENOENT'],
    [11, 'EAGAIN'],
    [95, 'EOPNOTSUPP'],
    [524, 'ENOTSUPP'],
    [4001, 'LIBBPF_FORMAT'],
    [4013, 'LIBBPF_NLPARSE'],
    [99_999, 'E99999'],
  ])('errno %i is %s', (number, name) => {
    expect(errnoName(number)).toBe(name)
  })
})

it('keeps the end of a log', () => {
  const log = Array.from({ length: 50 }, (_, i) => `line ${i}`).join('\n')
  expect(logTail(`${log}\n\n`)?.split('\n')).toEqual(Array.from({ length: 20 }, (_, i) => `line ${i + 30}`))
  expect(logTail('')).toBeUndefined()
})
