package sharing

// Reason is why policy says no.
type Reason struct {
	Code      string      `json:"code"` // a value of comity.types.v1.ErrorReason.Code by name
	Text      string      `json:"text"`
	Agreement AgreementID `json:"agreement"` // "" where it is about none
}

// Obligations are what a permission is bound to.
type Obligations struct {
	MinimumFrequency int      `json:"minimumFrequency"`
	Purposes         []string `json:"purposes"`
	RetentionDays    int      `json:"retentionDays"`
	Onward           bool     `json:"onward"`
}
