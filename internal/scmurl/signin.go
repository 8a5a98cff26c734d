package scmurl

// SignIn says how people sign in to the host of an integration, in the ways that
// the integration allows.
func (i Integration) SignIn() SignIn {
	k, ok := kinds[i.SCMID]
	if !ok {
		return SignIn{}
	}
	s := SignIn{Name: k.name}
	if i.PAT {
		pat := k.pat(i)
		s.PAT = &pat
	}
	if i.OAuth && k.oauth != nil {
		oauth := k.oauth(i)
		s.OAuth = &oauth
	}
	return s
}
