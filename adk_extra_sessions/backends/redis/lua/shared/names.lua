-- A name that no member of an index has, since names are percent-encoded there.
local NOBODY = '%'

-- The session's name in the index of the user's sessions: the end of its key. What is before it has the length of the
-- index's key and one more.
local function name_of(session, index)
  return string.sub(session, #index + 2)
end
