import { BpfObject } from '../../native/index.ts'
import { objectPath } from './world.ts'

/** Load an object as it is, with nothing pinned, and let go of it. The names of its programs. */
export function loadObject(name: string): string[] {
  const object = BpfObject.open(objectPath(name))
  try {
    object.load()
    for (const map of object.mapNames) object.map(map).close()
    for (const program of object.programNames) object.program(program).close()
    return object.programNames
  } finally {
    object.close()
  }
}
